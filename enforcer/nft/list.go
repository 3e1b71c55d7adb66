package nft

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// List returns the elements of one set that are in force and the time that they
// have left, Forever for those without a timeout. It stops at about limit of them;
// whole says that it saw all, at one moment. Of an interval set it is all or none. Its cost grows with the square of
// the set: keep to 100,000 elements. It has a socket of its own and holds up
// nobody.
func (f *Firewall) List(set string, limit int) (elems []Element, whole bool, err error) {
	s, err := dial(f.config.NetNS)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	index := indexOf(set)
	keys := 2 * limit // an interval has two
	if index < firstInterval {
		keys = limit
	}
	for range 3 { // others may write meanwhile
		d := dump{limit: keys}
		if err := d.run(s, set); err != nil {
			return nil, false, fmt.Errorf("list set %s: %w", set, err)
		}
		elems, whole = f.config.elementsOf(index, d.keys), d.ended && !d.interrupted
		if !d.interrupted {
			break
		}
	}
	if !whole && index >= firstInterval {
		elems = nil // starts without their ends
	}
	return elems, whole, nil
}

// dump reads one set.
type dump struct {
	limit       int
	keys        []key
	ended       bool
	interrupted bool // somebody wrote meanwhile: elements may be missing or come twice
}

// run asks for the set and reads until its end, or until there are too many: the
// socket is of no use then.
func (d *dump) run(s *socket, set string) error {
	s.drop()
	s.enc.reset()
	m := s.enc.open(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP)
	s.enc.string(unix.NFTA_SET_ELEM_LIST_TABLE, Table)
	s.enc.string(unix.NFTA_SET_ELEM_LIST_SET, set)
	s.enc.close(m)
	if err := s.send(s.enc.buf); err != nil {
		return err
	}
	deadline := time.Now().Add(answerTimeout)
	for !d.ended && len(d.keys) <= d.limit {
		b, err := s.receive(deadline)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // it is not whole
		}
		if err != nil {
			return err
		}
		if err := d.take(b); err != nil {
			return err
		}
	}
	return nil
}

func (d *dump) take(b []byte) error {
	for m, rest, ok := cutMessage(b); ok; m, rest, ok = cutMessage(rest) {
		d.interrupted = d.interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		switch m.kind {
		case unix.NLMSG_ERROR:
			if e := errno(m.body); e != 0 {
				return e
			}
		case unix.NLMSG_DONE:
			d.ended = true
		default:
			d.keys = append(d.keys, keysOf(m)...)
		}
	}
	return nil
}

// elementsOf makes elements of what a set's dump shows.
func (c Config) elementsOf(set int, keys []key) []Element {
	if set >= firstInterval {
		return intervals(keys)
	}
	elems := make([]Element, len(keys))
	for i, k := range keys {
		elems[i] = Element{c.hashed(k.addr), k.lifetime()}
	}
	return elems
}
