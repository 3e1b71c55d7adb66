package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Block is a block as the ledger keeps it. Times have nanoseconds and no zone.
type Block struct {
	ID       uint64
	Prefix   netip.Prefix
	At       time.Time
	Until    time.Time
	Rule     string
	Score    float64
	Reason   string
	Host     string
	Observed bool // decided in observe mode: never enforced
	Note     string
	Author   string
	// Witness is who alone said what it stands on, "" if more than one did.
	Witness string `json:",omitempty"`
	// End is how it ended, zero while it is in force; history only.
	End
	// Detail is whatever else the owner keeps with it; history only.
	Detail json.RawMessage `json:",omitempty"`
}

const flagObserved = 1

var errRecord = errors.New("malformed record")

// keyOf orders prefixes by family, address and length.
func keyOf(p netip.Prefix) []byte {
	a := p.Addr()
	if a.Is4() {
		b := a.As4()
		return append(append([]byte{4}, b[:]...), byte(p.Bits()))
	}
	b := a.As16()
	return append(append([]byte{6}, b[:]...), byte(p.Bits()))
}

func prefixOf(key []byte) (netip.Prefix, error) {
	if len(key) != 6 && len(key) != 18 {
		return netip.Prefix{}, fmt.Errorf("%w: key of %d bytes", errRecord, len(key))
	}
	a, _ := netip.AddrFromSlice(key[1 : len(key)-1])
	p := netip.PrefixFrom(a, int(key[len(key)-1]))
	if !p.IsValid() || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%w: key %x", errRecord, key)
	}
	return p, nil
}

// encode returns the payload of a block: flags, ID, times, score, rule, reason,
// host, note, author and witness.
func (b *Block) encode() []byte {
	var flags byte
	if b.Observed {
		flags |= flagObserved
	}
	r := append(make([]byte, 0, 48), flags)
	r = binary.AppendUvarint(r, b.ID)
	r = binary.BigEndian.AppendUint64(r, uint64(b.At.UnixNano()))
	r = binary.BigEndian.AppendUint64(r, uint64(b.Until.UnixNano()))
	r = binary.BigEndian.AppendUint32(r, math.Float32bits(float32(b.Score)))
	for _, s := range []string{b.Rule, b.Reason, b.Host, b.Note, b.Author, b.Witness} {
		r = binary.AppendUvarint(r, uint64(len(s)))
		r = append(r, s...)
	}
	return r
}

// decoder reads records; it keeps the few distinct names, so that a million
// records do not hold a million copies.
type decoder struct{ names map[string]string }

func (d *decoder) decode(p netip.Prefix, r []byte) (b Block, err error) {
	if len(r) < 1 {
		return b, errRecord
	}
	b.Prefix, b.Observed = p, r[0]&flagObserved != 0
	id, n := binary.Uvarint(r[1:])
	if n <= 0 || len(r) < 1+n+20 {
		return b, errRecord
	}
	b.ID, r = id, r[1+n:]
	b.At = time.Unix(0, int64(binary.BigEndian.Uint64(r)))
	b.Until = time.Unix(0, int64(binary.BigEndian.Uint64(r[8:])))
	b.Score = float64(math.Float32frombits(binary.BigEndian.Uint32(r[16:])))
	r = r[20:]
	for _, s := range []*string{&b.Rule, &b.Reason, &b.Host, &b.Note, &b.Author, &b.Witness} {
		if len(r) == 0 && s == &b.Witness {
			break // version 1 had none
		}
		n, size := binary.Uvarint(r)
		if size <= 0 || n > uint64(len(r)-size) {
			return b, errRecord
		}
		*s = d.name(r[size : size+int(n)])
		r = r[size+int(n):]
	}
	return b, nil
}

const maxNames = 4096

func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.names == nil || len(d.names) >= maxNames {
		d.names = map[string]string{}
	}
	d.names[s] = s
	return s
}
