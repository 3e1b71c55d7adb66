package nft

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Change is a transaction of somebody else that touched our table, or a flowtable.
type Change struct {
	// Process and PID say who, as far as the kernel says: "" and 0 if not.
	Process string
	PID     uint32
	// Layout: table, chain, rules, sets or counters were touched.
	Layout bool
	// Elements are the keys of hash sets that were added or deleted.
	Elements []netip.Prefix
	// Intervals: an interval set was touched.
	Intervals bool
	// Flowtables: one of any table was made, changed or removed.
	Flowtables bool
	// Lost: there were more changes than the socket could hold, so this is
	// not all.
	Lost bool
}

// maxChanged is how many elements a Change names; beyond, it is Lost.
const maxChanged = 10_000

// watchBuffer takes the events of about 30,000 elements.
const watchBuffer = 16 << 20

// Watcher receives the changes that others make to our table.
type Watcher struct {
	config Config
	socket *socket
	closed atomic.Bool
	change Change // the transaction so far
}

// Watch starts to watch. What the Firewall itself does is filtered out in the
// kernel. It needs CAP_NET_ADMIN in the namespace. A Firewall has one Watcher.
func (f *Firewall) Watch() (*Watcher, error) {
	s, err := dial(f.config.NetNS)
	if err != nil {
		return nil, err
	}
	_ = s.conn.SetReadBuffer(watchBuffer)
	err = s.filterPort(f.Port())
	if err == nil {
		err = s.conn.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch nftables: %w", err), s.close())
	}
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	f.watcher = &Watcher{config: f.config, socket: s}
	return f.watcher, nil
}

// filterPort keeps away the messages that this netlink port has caused: the
// kernel writes it into their headers.
func (s *socket) filterPort(port uint32) error {
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4}, // nlmsghdr.nlmsg_pid, as big-endian
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: bits.ReverseBytes32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 30},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	return s.conn.SetBPF(filter)
}

// Close ends Next.
func (w *Watcher) Close() error {
	w.closed.Store(true)
	return w.socket.close()
}

// Next waits for the next change. It returns an error after Close, or when the
// socket fails.
func (w *Watcher) Next() (Change, error) {
	for {
		b, err := w.socket.receive(time.Time{})
		if errors.Is(err, ErrAnswerLost) {
			w.change = Change{}
			return Change{Lost: true}, nil
		}
		if err != nil {
			return Change{}, err
		}
		done := false
		for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
			done = w.add(m) || done
		}
		if c := w.change; done {
			w.change = Change{}
			if c.Layout || c.Intervals || c.Lost || c.Flowtables || len(c.Elements) > 0 {
				return c, nil
			}
		}
	}
}

// add takes one event; true ends the transaction.
func (w *Watcher) add(m message) bool {
	if m.is(unix.NFT_MSG_NEWGEN) {
		for k, v := range attributes(m.payload()) {
			switch k {
			case unix.NFTA_GEN_PROC_PID:
				w.change.PID = number32(v)
			case unix.NFTA_GEN_PROC_NAME:
				w.change.Process = text(v)
			}
		}
		return true
	}
	if m.is(unix.NFT_MSG_NEWFLOWTABLE) || m.is(unix.NFT_MSG_DELFLOWTABLE) {
		w.change.Flowtables = true
	}
	if m.kind>>8 != unix.NFNL_SUBSYS_NFTABLES || !ours(m) {
		return false
	}
	if m.is(unix.NFT_MSG_NEWSETELEM) || m.is(unix.NFT_MSG_DELSETELEM) {
		w.addElements(m)
	} else {
		w.change.Layout = true
	}
	return false
}

// ours reports whether m is about our table: its name is the first attribute
// of every kind of message.
func ours(m message) bool {
	if len(m.body) < 4 || m.body[0] != unix.NFPROTO_INET {
		return false
	}
	for k, v := range attributes(m.payload()) {
		if k == unix.NFTA_TABLE_NAME {
			return text(v) == Table
		}
	}
	return false
}

func (w *Watcher) addElements(m message) {
	set, name := -1, ""
	for k, v := range attributes(m.payload()) {
		if k == unix.NFTA_SET_ELEM_LIST_SET {
			name = text(v)
			set = indexOf(name)
		}
	}
	switch {
	case name == Knock4 || name == Knock6: // by our rules
	case set < 0:
		w.change.Layout = true // the ports
	case set >= firstInterval:
		w.change.Intervals = true
	case len(w.change.Elements) >= maxChanged:
		w.change.Lost = true
	default:
		for _, k := range keysOf(m) {
			w.change.Elements = append(w.change.Elements, w.config.hashed(k.addr))
		}
	}
}

// hashed is the prefix whose key in a hash set is a.
func (c Config) hashed(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(a, 32)
	}
	return netip.PrefixFrom(a, c.IPv6Bits)
}
