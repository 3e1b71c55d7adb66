package nft

import (
	"net/netip"
	"time"

	"uppercut/enforcer/prefix"

	"golang.org/x/sys/unix"
)

// Element is a blocked prefix and how long it stays. The prefix is masked and
// not IPv4-mapped.
type Element struct {
	Prefix  netip.Prefix
	Timeout time.Duration // more than 0; in whole milliseconds, rounded up; Forever for no timeout
}

// MaxBatch is the number of elements that one message takes: its list is an
// attribute, and an attribute's length has 16 bits. The longest element, an
// IPv6 interval with its end, needs under 100 bytes, but intervals are half as
// many, see encodeElements.
const MaxBatch = 1000

const (
	maxInterval   = MaxBatch / 2
	maxAsked      = 100 // single elements asked for at once
	firstInterval = 2   // index in Sets
)

func encodeListHead(e *encoder, set string) int {
	e.string(unix.NFTA_SET_ELEM_LIST_TABLE, Table)
	e.string(unix.NFTA_SET_ELEM_LIST_SET, set)
	return e.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
}

func encodeKey(e *encoder, key []byte) {
	n := e.nest(unix.NFTA_SET_ELEM_KEY)
	e.bytes(unix.NFTA_DATA_VALUE, key)
	e.unnest(n)
}

func encodeAddr(e *encoder, a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		encodeKey(e, b[:])
		return
	}
	b := a.As16()
	encodeKey(e, b[:])
}

// encodeStart appends the element of an address or the start of an interval.
func encodeStart(e *encoder, p netip.Prefix, timeout time.Duration) {
	n := e.nest(unix.NFTA_LIST_ELEM)
	encodeAddr(e, p.Addr())
	if timeout > 0 && timeout != Forever {
		e.uint64(unix.NFTA_SET_ELEM_TIMEOUT, milliseconds(timeout))
	}
	e.unnest(n)
}

// encodeEnd appends the end of p's interval: the address behind it. A prefix
// that reaches the last address has no end.
func encodeEnd(e *encoder, p netip.Prefix) {
	end := prefix.Last(p).Next()
	if !end.IsValid() {
		return
	}
	n := e.nest(unix.NFTA_LIST_ELEM)
	e.uint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
	encodeAddr(e, end)
	e.unnest(n)
}

// encodeElements appends messages that add (with timeouts) or delete elements
// of one set.
func encodeElements(e *encoder, kind uint16, s set, elems []Element) {
	limit := MaxBatch
	if s.interval {
		limit = maxInterval
	}
	for len(elems) > 0 {
		n := min(limit, len(elems))
		m := e.open(kind, createFlag(kind))
		list := encodeListHead(e, s.name)
		for _, el := range elems[:n] {
			if kind == unix.NFT_MSG_DELSETELEM {
				el.Timeout = 0
			}
			encodeStart(e, el.Prefix, el.Timeout)
			if s.interval {
				encodeEnd(e, el.Prefix)
			}
		}
		e.unnest(list)
		e.close(m)
		elems = elems[n:]
	}
}

func createFlag(kind uint16) uint16 {
	if kind == unix.NFT_MSG_NEWSETELEM {
		return unix.NLM_F_CREATE
	}
	return 0
}

func milliseconds(d time.Duration) uint64 {
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}
