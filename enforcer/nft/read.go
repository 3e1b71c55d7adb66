package nft

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"time"

	"uppercut/enforcer/prefix"

	"golang.org/x/sys/unix"
)

// nftaSetCount carries the number of elements (Linux 6.16,
// uapi/linux/netfilter/nf_tables.h: NFTA_SET_COUNT). Those that have run out
// count until they are collected: in a hash set within about a second, in an
// interval set when the next transaction touches it, so perhaps never.
const nftaSetCount = 0x14

// Layout is what the kernel shows of our objects, elements apart.
type Layout struct {
	// parts holds a fingerprint of each object by its kind and name; what is
	// missing has none.
	parts map[part]uint64
	// others counts the chains, sets and so on in the table, without the ingress
	// chain, which goes with its last device; hooked: that is there.
	others uint32
	hooked bool
	// Elements counts the elements of each set of Sets, also those that have run
	// out and are not yet collected; or it is Uncounted or Absent.
	Elements [4]int
}

// What Layout.Elements has where there is no number, below 0.
const (
	Uncounted = -1 // the kernel does not say (before Linux 6.16)
	Absent    = -2 // there is no set
)

var absent = [4]int{Absent, Absent, Absent, Absent}

// part is one object.
type part struct{ kind, name string }

var fingerprintSeed = maphash.MakeSeed()

// Differences names the kinds of objects ("table", "chain", "rules", "set",
// "counter") in which l is not as want, each once.
func (l Layout) Differences(want Layout) []string {
	var kinds []string
	for _, kind := range []string{"table", "chain", "rules", "set", "counter"} {
		for p, sum := range want.parts {
			if p.kind == kind && l.parts[p] != sum && (p.name != Ingress || l.hooked) {
				kinds = append(kinds, kind)
				break
			}
		}
		if kind == "table" && len(kinds) == 0 && l.others != want.others {
			kinds = append(kinds, kind) // somebody has put something there
		}
	}
	return kinds
}

// takeIngress makes the ingress chain of l that of o.
func (l *Layout) takeIngress(o Layout) {
	l.hooked = o.hooked
	for _, kind := range []string{"chain", "rules"} {
		p := part{kind, Ingress}
		if sum, ok := o.parts[p]; ok {
			l.parts[p] = sum
		} else {
			delete(l.parts, p)
		}
	}
}

// Check reads the layout and the kinds of objects in it that are not as
// Replace left them.
func (f *Firewall) Check() (Layout, []string, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	l, err := f.write.layout(f.config)
	if err != nil {
		return l, nil, err
	}
	if f.expected.parts == nil {
		return l, []string{"table"}, nil
	}
	return l, l.Differences(f.expected), nil
}

// Present reports whether there is a table of our name.
func (f *Firewall) Present() (bool, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	l, err := f.write.layout(f.config)
	for p := range l.parts {
		if p.kind == "table" {
			return true, err
		}
	}
	return false, err
}

// Elements asks for the number of elements of each set of Sets, as
// Layout.Elements has it.
func (f *Firewall) Elements() ([4]int, error) {
	f.read.mu.Lock()
	defer f.read.mu.Unlock()
	s := f.read
	s.enc.reset()
	for _, name := range Sets {
		m := s.enc.open(unix.NFT_MSG_GETSET, unix.NLM_F_ACK)
		s.enc.string(unix.NFTA_SET_TABLE, Table)
		s.enc.string(unix.NFTA_SET_NAME, name)
		s.enc.close(m)
	}
	l := Layout{Elements: absent}
	_, err := s.exchange(len(Sets), l.count)
	return f.config.counts(l.Elements), err
}

// Changed reports whether somebody else has changed any ruleset in the
// namespace since the last call, or since Replace.
func (f *Firewall) Changed() (bool, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	g, err := f.write.generation()
	if err != nil {
		return false, err
	}
	changed := g != f.generation
	f.generation, f.touched = g, f.touched || changed
	return changed, nil
}

// Touched reports whether somebody else has changed any ruleset in the namespace
// since Replace.
func (f *Firewall) Touched() (bool, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	g, err := f.write.generation()
	return f.touched || g != f.generation, err
}

func (s *socket) generation() (uint32, error) {
	s.enc.reset()
	s.enc.close(s.enc.open(unix.NFT_MSG_GETGEN, unix.NLM_F_ACK))
	var id uint32
	refused, err := s.exchange(1, func(m message) {
		for kind, v := range attributes(m.payload()) {
			if kind == unix.NFTA_GEN_ID {
				id = number32(v)
			}
		}
	})
	if err == nil && len(refused) > 0 {
		err = refused[0].errno
	}
	if err != nil {
		return 0, fmt.Errorf("read ruleset generation: %w", err)
	}
	return id, nil
}

// layout asks for every object at once: one message out, a few back.
func (s *socket) layout(c Config) (Layout, error) {
	e := &s.enc
	e.reset()
	ask := func(kind uint16, attrs ...any) {
		m := e.open(kind, unix.NLM_F_ACK)
		for i := 0; i < len(attrs); i += 2 {
			switch v := attrs[i+1].(type) {
			case string:
				e.string(uint16(attrs[i].(int)), v)
			case uint32:
				e.uint32(uint16(attrs[i].(int)), v)
			}
		}
		e.close(m)
	}
	ask(unix.NFT_MSG_GETTABLE, unix.NFTA_TABLE_NAME, Table)
	ask(unix.NFT_MSG_GETCHAIN, unix.NFTA_CHAIN_TABLE, Table, unix.NFTA_CHAIN_NAME, Chain)
	names := c.setNames()
	for _, name := range names {
		ask(unix.NFT_MSG_GETSET, unix.NFTA_SET_TABLE, Table, unix.NFTA_SET_NAME, name)
	}
	for _, name := range Counters {
		ask(unix.NFT_MSG_GETOBJ, unix.NFTA_OBJ_TABLE, Table, unix.NFTA_OBJ_NAME, name, unix.NFTA_OBJ_TYPE, uint32(unix.NFT_OBJECT_COUNTER))
	}
	ask(unix.NFT_MSG_GETCHAIN, unix.NFTA_CHAIN_TABLE, Table, unix.NFTA_CHAIN_NAME, Ingress)
	m := e.open(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
	e.string(unix.NFTA_RULE_TABLE, Table)
	e.close(m)

	l := Layout{parts: map[part]uint64{}, Elements: absent}
	refused, err := s.exchange(3+len(names)+len(Counters)+1, l.add)
	for _, r := range refused {
		if r.errno != unix.ENOENT {
			err = errors.Join(err, r.errno)
		}
	}
	if err != nil {
		return l, fmt.Errorf("read table %s: %w", Table, err)
	}
	l.Elements = c.counts(l.Elements)
	if l.hooked {
		l.others--
	}
	return l, nil
}

// counts takes the numbers away with NoCounts.
func (c Config) counts(n [4]int) [4]int {
	for i := range n {
		if c.NoCounts && n[i] >= 0 {
			n[i] = Uncounted
		}
	}
	return n
}

func (c Config) setNames() []string {
	names := Sets[:]
	if len(c.Ports) > 0 {
		names = append(slices.Clip(names), Ports)
	}
	for _, s := range c.knocks() {
		names = append(slices.Clip(names), s.name)
	}
	return names
}

// add takes one of the kernel's answers into the layout.
func (l *Layout) add(m message) {
	switch {
	case m.is(unix.NFT_MSG_NEWTABLE):
		l.note("table", m, unix.NFTA_TABLE_NAME, unix.NFTA_TABLE_FLAGS)
		for k, v := range attributes(m.payload()) {
			if k == unix.NFTA_TABLE_USE {
				l.others = number32(v)
			}
		}
	case m.is(unix.NFT_MSG_NEWCHAIN) && nameOf(m, unix.NFTA_CHAIN_NAME) == Ingress:
		l.hooked = true // where, is for Follow to look
		l.note("chain", m, unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE)
	case m.is(unix.NFT_MSG_NEWCHAIN):
		l.note("chain", m, unix.NFTA_CHAIN_NAME, unix.NFTA_CHAIN_HOOK, unix.NFTA_CHAIN_POLICY, unix.NFTA_CHAIN_TYPE)
	case m.is(unix.NFT_MSG_NEWRULE):
		l.note("rules", m, unix.NFTA_RULE_CHAIN, unix.NFTA_RULE_EXPRESSIONS)
	case m.is(unix.NFT_MSG_NEWSET):
		l.note("set", m, unix.NFTA_SET_NAME, unix.NFTA_SET_FLAGS, unix.NFTA_SET_KEY_TYPE, unix.NFTA_SET_KEY_LEN, unix.NFTA_SET_DESC, unix.NFTA_SET_TIMEOUT, nftaSetExpr)
		l.count(m)
	case m.is(unix.NFT_MSG_NEWOBJ):
		l.note("counter", m, unix.NFTA_OBJ_NAME, unix.NFTA_OBJ_TYPE)
	}
}

func nameOf(m message, attribute uint16) string {
	for k, v := range attributes(m.payload()) {
		if k == attribute {
			return text(v)
		}
	}
	return ""
}

// note adds the fingerprint of some attributes. Rules have no name, so theirs
// add up in order.
func (l *Layout) note(kind string, m message, which ...uint16) {
	var h maphash.Hash
	h.SetSeed(fingerprintSeed)
	p := part{kind: kind}
	for k, v := range attributes(m.payload()) {
		for i, w := range which {
			if k != w {
				continue
			}
			if i == 0 {
				p.name = text(v)
			}
			maphash.WriteComparable(&h, k)
			_, _ = h.Write(v)
		}
	}
	l.parts[p] = l.parts[p]*31 + h.Sum64()
}

func (l *Layout) count(m message) {
	index, n := -1, Uncounted
	for k, v := range attributes(m.payload()) {
		switch k {
		case unix.NFTA_SET_NAME:
			index = indexOf(text(v))
		case nftaSetCount:
			n = int(number32(v))
		}
	}
	if index >= 0 {
		l.Elements[index] = n
	}
}

func indexOf(name string) int {
	for i, s := range Sets {
		if s == name {
			return i
		}
	}
	return -1
}

func (s *socket) drops() (drops [2]Drops, err error) {
	s.enc.reset()
	for _, name := range Counters {
		m := s.enc.open(unix.NFT_MSG_GETOBJ, unix.NLM_F_ACK)
		s.enc.string(unix.NFTA_OBJ_TABLE, Table)
		s.enc.string(unix.NFTA_OBJ_NAME, name)
		s.enc.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
		s.enc.close(m)
	}
	first := s.enc.seq - uint32(len(Counters)) + 1
	refused, err := s.exchange(len(Counters), func(m message) {
		if i := m.seq - first; i < uint32(len(drops)) {
			drops[i] = dropsOf(m)
		}
	})
	for _, r := range refused {
		if r.errno != unix.ENOENT {
			err = errors.Join(err, r.errno)
		}
	}
	if err != nil {
		return drops, fmt.Errorf("read counters: %w", err)
	}
	return drops, nil
}

func dropsOf(m message) (d Drops) {
	for k, v := range attributes(m.payload()) {
		if k == unix.NFTA_OBJ_DATA {
			return counterData(v)
		}
	}
	return d
}

// counterOf reads an expression, if it is a counter.
func counterOf(b []byte) (d Drops) {
	counter := false
	for k, v := range attributes(b) {
		switch k {
		case unix.NFTA_EXPR_NAME:
			counter = text(v) == "counter"
		case unix.NFTA_EXPR_DATA:
			if counter {
				return counterData(v)
			}
		}
	}
	return d
}

func counterData(b []byte) (d Drops) {
	for k, v := range attributes(b) {
		switch k {
		case unix.NFTA_COUNTER_PACKETS:
			d.Packets = number64(v)
		case unix.NFTA_COUNTER_BYTES:
			d.Bytes = number64(v)
		}
	}
	return d
}

// ask asks for each prefix on its own. Of an interval it asks for the
// start only: the kernel does not find an end that is a neighbour's start.
func (s *socket) ask(set func(netip.Prefix) string, ps []netip.Prefix) ([]Standing, error) {
	s.enc.reset()
	for _, p := range ps {
		m := s.enc.open(unix.NFT_MSG_GETSETELEM, unix.NLM_F_ACK)
		list := encodeListHead(&s.enc, set(p))
		encodeStart(&s.enc, p, 0)
		s.enc.unnest(list)
		s.enc.close(m)
	}
	first := s.enc.seq - uint32(len(ps)) + 1
	found := make([]Standing, len(ps))
	refused, err := s.exchange(len(ps), func(m message) {
		i := m.seq - first
		if i >= uint32(len(ps)) {
			return
		}
		for _, k := range keysOf(m) {
			if k.addr == ps[i].Addr() {
				found[i] = Standing{k.lifetime(), k.drops}
			}
		}
	})
	for _, r := range refused {
		if r.errno != unix.ENOENT {
			err = errors.Join(err, r.errno)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ask for %d elements: %w", len(ps), err)
	}
	return found, nil
}

// Forever is what an element without a timeout has left.
const Forever = time.Duration(1<<63 - 1)

// key is an element as the kernel shows it: an address, or one end of an
// interval.
type key struct {
	addr    netip.Addr
	end     bool          // the first address behind an interval
	timeout time.Duration // 0: none
	left    time.Duration
	drops   Drops
}

func (k key) lifetime() time.Duration {
	if k.timeout == 0 {
		return Forever
	}
	return max(k.left, time.Millisecond)
}

// intervals joins starts with ends, and divides what is not a prefix.
func intervals(keys []key) []Element {
	slices.SortFunc(keys, func(a, b key) int {
		if c := a.addr.Compare(b.addr); c != 0 {
			return c
		}
		// An end comes before the start of the neighbour.
		return rankEnd(a) - rankEnd(b)
	})
	var elems []Element
	for i, k := range keys {
		if k.end {
			continue
		}
		last := lastOf(k.addr)
		if i+1 < len(keys) {
			last = keys[i+1].addr.Prev()
		}
		for p := range prefix.Range(k.addr, last) {
			elems = append(elems, Element{p, k.lifetime()})
		}
	}
	return elems
}

func rankEnd(k key) int {
	if k.end {
		return 0
	}
	return 1
}

func lastOf(a netip.Addr) netip.Addr { return prefix.Last(netip.PrefixFrom(a, 0)) }

// keysOf reads the elements in a message.
func keysOf(m message) []key {
	var keys []key
	for kind, list := range attributes(m.payload()) {
		if kind != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
			continue
		}
		for _, v := range attributes(list) {
			if k := keyOf(v); k.addr.IsValid() {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

func keyOf(b []byte) (k key) {
	for kind, v := range attributes(b) {
		switch kind {
		case unix.NFTA_SET_ELEM_KEY:
			for _, value := range attributes(v) {
				k.addr, _ = netip.AddrFromSlice(value)
			}
		case unix.NFTA_SET_ELEM_TIMEOUT:
			k.timeout = time.Duration(number64(v)) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPIRATION:
			k.left = time.Duration(number64(v)) * time.Millisecond
		case unix.NFTA_SET_ELEM_EXPR:
			k.drops = counterOf(v)
		case unix.NFTA_SET_ELEM_FLAGS:
			k.end = number32(v)&unix.NFT_SET_ELEM_INTERVAL_END != 0
		}
	}
	return k
}
