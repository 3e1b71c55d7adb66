package ledger

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// Summary counts what a ledger holds.
type Summary struct {
	Blocks  uint64 `json:"blocks"`
	History uint64 `json:"history"`
	Allowed uint64 `json:"allowed"`
	Audit   uint64 `json:"audit"`
}

// line is a line of an export: one of its fields is set. The first says who wrote
// it, the last how many lines there are of each kind.
type line struct {
	Version int      `json:"version,omitempty"` // of the ledger
	LastID  uint64   `json:"last_id,omitempty"` // stands with Version
	Block   *Block   `json:"block,omitempty"`   // in force
	History *Block   `json:"history,omitempty"` // and how it ended
	Allow   *Allow   `json:"allow,omitempty"`
	Audit   *Audit   `json:"audit,omitempty"`
	End     *Summary `json:"end,omitempty"`
}

// Check reads all that a ledger holds. The error wraps ErrDamaged if any of it is
// not what was written.
func (l *Ledger) Check() (Summary, error) {
	return l.walk(func(line) error { return nil })
}

// Export writes all that a ledger holds as JSON, a line each.
func (l *Ledger) Export(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffered)
	encoder.SetEscapeHTML(false)
	last, err := l.LastID()
	if err != nil {
		return err
	}
	if err := encoder.Encode(line{Version: Version, LastID: last}); err != nil {
		return err
	}
	s, err := l.walk(func(each line) error { return encoder.Encode(each) })
	if err != nil {
		return err
	}
	return errors.Join(encoder.Encode(line{End: &s}), buffered.Flush())
}

// walk calls each with a line for everything, in the order in which it is exported.
func (l *Ledger) walk(each func(line) error) (s Summary, err error) {
	err = l.Blocks(func(b Block) error {
		s.Blocks++
		b.At, b.Until = b.At.UTC(), b.Until.UTC()
		return each(line{Block: &b})
	})
	if err != nil {
		return s, err
	}
	err = l.all(bucketHistory, func(_, payload []byte) error {
		var b Block
		s.History++
		if err := decodeJSON(bucketHistory, payload, &b); err != nil {
			return err
		}
		return each(line{History: &b})
	})
	if err != nil {
		return s, err
	}
	allowed, err := l.Allowed()
	if err != nil {
		return s, err
	}
	for _, a := range allowed {
		s.Allowed++
		if err := each(line{Allow: &a}); err != nil {
			return s, err
		}
	}
	return s, l.all(bucketAudit, func(_, payload []byte) error {
		var a Audit
		s.Audit++
		if err := decodeJSON(bucketAudit, payload, &a); err != nil {
			return err
		}
		return each(line{Audit: &a})
	})
}

// importStep is how many lines one transaction takes.
const importStep = 10_000

// Import makes a ledger of what Export wrote, where there is none yet. On error it
// leaves none.
func Import(path string, r io.Reader) (s Summary, err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%q already exists: move it away first", path)
	}
	const all = 1 << 62 // what is kept is the next start's to say
	l, err := Open(path, Options{History: all, Audit: all})
	if err != nil {
		return s, err
	}
	if s, err = l.take(r); err == nil {
		err = l.isWhole(s)
	}
	if err = errors.Join(err, l.Close()); err != nil {
		return s, errors.Join(err, os.Remove(path))
	}
	return s, nil
}

// isWhole returns an error if the ledger cannot be read, or if lines that were
// taken have overwritten one another. Each block in force has its place in the
// history, too, whether or not a line of the history gave it.
func (l *Ledger) isWhole(taken Summary) error {
	got, err := l.Check()
	if err != nil {
		return err
	}
	if got.Blocks != taken.Blocks || got.Allowed != taken.Allowed {
		return fmt.Errorf("duplicate networks: %d blocks and %d allow entries were read, %d and %d are left", taken.Blocks, taken.Allowed, got.Blocks, got.Allowed)
	}
	return nil
}

// take commits lines until the last.
func (l *Ledger) take(r io.Reader) (s Summary, err error) {
	decoder := json.NewDecoder(r)
	var b Batch
	for n := 1; ; n++ {
		var in line
		if err := decoder.Decode(&in); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the export is truncated: its last line is missing")
			}
			return s, fmt.Errorf("line %d: %w", n, err)
		}
		switch {
		case n == 1 && (in.Version < 1 || in.Version > Version):
			return s, fmt.Errorf("line 1: not an export of a ledger up to version %d", Version)
		case n == 1 && in.LastID > maxImportedID:
			return s, fmt.Errorf("line 1: no last_id: %d", in.LastID)
		case n == 1:
			if err := l.setLastID(in.LastID); err != nil {
				return s, err
			}
		case in.End != nil:
			if *in.End != s {
				return s, fmt.Errorf("line %d: %+v was written, %+v was read", n, *in.End, s)
			}
			return s, l.Commit(b)
		default:
			if err := in.check(); err != nil {
				return s, fmt.Errorf("line %d: %w", n, err)
			}
			s.add(&b, in)
		}
		if n%importStep == 0 {
			if err := l.Commit(b); err != nil {
				return s, err
			}
			b = Batch{}
		}
	}
}

// maxImportedID bounds the numbers of blocks, so that there is always a next one.
const maxImportedID = 1 << 53

// The ledger keeps times in nanoseconds from 1970 in 64 bits, up to 2262.
const firstYear, lastYear = 1678, 2261

// check refuses what Export does not write: the next start would take it for
// damage, or for something else than it says.
func (in line) check() error {
	var errs []error
	entries := 0
	for _, b := range []*Block{in.Block, in.History} {
		if b != nil {
			entries++
			errs = append(errs, checkPrefix(b.Prefix), b.checkNumbers())
		}
	}
	if in.Allow != nil {
		entries++
		errs = append(errs, checkPrefix(in.Allow.Prefix))
	}
	if in.Audit != nil {
		entries++
	}
	if entries != 1 {
		return errors.New("it must hold exactly one of block, history, allow and audit")
	}
	return errors.Join(errs...)
}

func checkPrefix(p netip.Prefix) error {
	if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
		return fmt.Errorf("%q is not a network in canonical form", p)
	}
	return nil
}

func (b *Block) checkNumbers() error {
	if b.ID == 0 || b.ID > maxImportedID {
		return fmt.Errorf("%v: invalid block number %d", b.Prefix, b.ID)
	}
	for _, t := range []time.Time{b.At, b.Until} {
		if t.Year() < firstYear || t.Year() > lastYear {
			return fmt.Errorf("%v: invalid time %v", b.Prefix, t)
		}
	}
	return nil
}

// add puts a line into a batch.
func (s *Summary) add(b *Batch, in line) {
	switch {
	case in.Block != nil:
		s.Blocks++
		b.Put = append(b.Put, *in.Block)
	case in.History != nil:
		s.History++
		b.Past = append(b.Past, *in.History)
	case in.Allow != nil:
		s.Allowed++
		b.Allow = append(b.Allow, *in.Allow)
	case in.Audit != nil:
		s.Audit++
		b.Audit = append(b.Audit, *in.Audit)
	}
}

func (l *Ledger) setLastID(id uint64) error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		t, err := readTallies(tx)
		if err != nil {
			return err
		}
		t.lastID = max(t.lastID, id)
		return writeTallies(tx, t)
	})
}
