package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What can be wrong with a ledger.
var (
	// ErrLocked: another process has it open.
	ErrLocked = errors.New("another process has it open")
	// ErrDamaged: what is on the disk is not a sound ledger.
	ErrDamaged = errors.New("it is damaged")
	// ErrNewer: a newer version of the program wrote it.
	ErrNewer = errors.New("a newer version of uppercut wrote it")
)

// Version is the layout that this program reads and writes.
const Version = 1

const lockTimeout = time.Second

var (
	bucketMeta    = []byte("meta")
	bucketBlocks  = []byte("blocks")
	bucketHistory = []byte("history")
	bucketAllow   = []byte("allow")
	bucketAudit   = []byte("audit")

	keyVersion = []byte("version")
)

// Options bound what is kept.
type Options struct {
	// History is the number of blocks, past and present, whose detail is kept.
	History uint64
	// Audit is the number of audit entries kept.
	Audit uint64
}

// Allow is an entry of the allow list made by hand.
type Allow struct {
	Prefix netip.Prefix `json:"prefix"`
	Since  time.Time    `json:"since"`
	Until  time.Time    `json:"until,omitzero"` // zero: for ever
	Author string       `json:"author,omitempty"`
	Note   string       `json:"note,omitempty"`
}

// Audit is an entry of the audit log: who did what to which prefixes.
type Audit struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Author string    `json:"author,omitempty"`
	Note   string    `json:"note,omitempty"`
	// Prefixes holds the first few that were asked for, Count says how many
	// there were.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	Count    int            `json:"count"`
	// Undone is for how many of Count there was nothing to do, or no leave to.
	Undone int `json:"undone,omitempty"`
	// Host is the mail host that it was about, "" if it was about none.
	Host string `json:"host,omitempty"`
}

// Batch is what one Commit writes: the deletions first.
type Batch struct {
	Delete   []netip.Prefix
	Put      []Block
	Disallow []netip.Prefix
	Allow    []Allow
	Audit    []Audit
}

// Ledger is an open ledger.
type Ledger struct {
	db      *bbolt.DB
	options Options
}

// Open opens the ledger in the file, making it if there is none. The error
// wraps ErrLocked, ErrDamaged, ErrNewer or what the file system says.
func Open(path string, o Options) (*Ledger, error) {
	var l *Ledger
	err := sound(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
		if err != nil {
			return err
		}
		l = &Ledger{db: db, options: o}
		if err := l.prepare(); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	if err == nil {
		return l, nil
	}
	err = classify(err)
	if _, system := errors.AsType[syscall.Errno](err); !system && !errors.Is(err, ErrLocked) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err) // bbolt does not like it
	}
	return nil, fmt.Errorf("open ledger %q: %w", path, err)
}

// prepare makes the buckets of a new ledger and checks the version of an old.
func (l *Ledger) prepare() error {
	return l.db.Update(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket(bucketMeta); meta != nil {
			v := meta.Get(keyVersion)
			if len(v) != 4 {
				return fmt.Errorf("%w: no version", ErrDamaged)
			}
			if got := binary.BigEndian.Uint32(v); got > Version {
				return fmt.Errorf("%w: version %d, this one knows %d", ErrNewer, got, Version)
			}
		}
		for _, name := range [][]byte{bucketMeta, bucketBlocks, bucketHistory, bucketAllow, bucketAudit} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("make bucket %s: %w", name, err)
			}
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, Version))
	})
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// Size is the size of the file in bytes.
func (l *Ledger) Size() (n int64) {
	_ = sound(func() error {
		return l.db.View(func(tx *bbolt.Tx) error { n = tx.Size(); return nil })
	})
	return n
}

// Blocks calls each with every block, in order of prefix, until it returns an
// error.
func (l *Ledger) Blocks(each func(Block) error) error {
	var d decoder
	return l.view(bucketBlocks, func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			p, err := prefixOf(k)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			block, err := d.decode(p, v)
			if err != nil {
				return fmt.Errorf("%w: block of %v: %w", ErrDamaged, p, err)
			}
			return each(block)
		})
	})
}

// LastID is the highest block ID ever committed.
func (l *Ledger) LastID() (id uint64, err error) {
	err = l.view(bucketBlocks, func(b *bbolt.Bucket) error { id = b.Sequence(); return nil })
	return id, err
}

// HistoryOf calls each with the kept blocks that overlap p, newest first, until
// it returns false. It decodes no others.
func (l *Ledger) HistoryOf(p netip.Prefix, each func(Block) bool) error {
	return l.newestFirst(bucketHistory, func(v []byte) (bool, error) {
		if of, ok := prefixOfHistory(v); ok && !of.Overlaps(p) {
			return true, nil
		}
		var b Block
		if err := json.Unmarshal(v, &b); err != nil {
			return false, fmt.Errorf("%w: history: %w", ErrDamaged, err)
		}
		return !b.Prefix.Overlaps(p) || each(b), nil
	})
}

// prefixOfHistory finds the prefix in a Block's JSON, where a number is all
// that stands before it; false if it does not look like that.
func prefixOfHistory(v []byte) (netip.Prefix, bool) {
	_, rest, found := bytes.Cut(v[:min(len(v), 128)], []byte(`"Prefix":"`))
	text, _, closed := bytes.Cut(rest, []byte(`"`))
	if !found || !closed {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(string(text))
	return p, err == nil
}

// Audit calls each with the audit entries, newest first, until it returns
// false.
func (l *Ledger) Audit(each func(Audit) bool) error {
	return l.newestFirst(bucketAudit, func(v []byte) (bool, error) {
		var a Audit
		if err := json.Unmarshal(v, &a); err != nil {
			return false, fmt.Errorf("%w: audit log: %w", ErrDamaged, err)
		}
		return each(a), nil
	})
}

// Detail returns the detail of a block, nil if it is no longer kept.
func (l *Ledger) Detail(id uint64) (detail json.RawMessage, err error) {
	err = l.view(bucketHistory, func(b *bbolt.Bucket) error {
		detail, err = detailIn(b, id)
		return err
	})
	return detail, err
}

func detailIn(history *bbolt.Bucket, id uint64) (json.RawMessage, error) {
	v := history.Get(idKey(id))
	if v == nil {
		return nil, nil
	}
	var block Block
	if err := json.Unmarshal(v, &block); err != nil {
		return nil, fmt.Errorf("%w: history: %w", ErrDamaged, err)
	}
	return block.Detail, nil
}

// Allowed returns the allow list made by hand, in order of prefix.
func (l *Ledger) Allowed() (list []Allow, err error) {
	err = l.view(bucketAllow, func(b *bbolt.Bucket) error {
		return b.ForEach(func(_, v []byte) error {
			var a Allow
			if err := json.Unmarshal(v, &a); err != nil {
				return fmt.Errorf("%w: allow list: %w", ErrDamaged, err)
			}
			list = append(list, a)
			return nil
		})
	})
	return list, err
}

// Commit writes b and returns when it is on the disk.
func (l *Ledger) Commit(b Batch) error {
	err := sound(func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			return errors.Join(
				writeBlocks(tx.Bucket(bucketBlocks), b),
				l.writeHistory(tx.Bucket(bucketHistory), b.Put),
				writeAllow(tx.Bucket(bucketAllow), b),
				l.writeAudit(tx.Bucket(bucketAudit), b.Audit),
			)
		})
	})
	if err != nil {
		return fmt.Errorf("write ledger: %w", classify(err))
	}
	return nil
}

func writeBlocks(bucket *bbolt.Bucket, b Batch) error {
	for _, p := range b.Delete {
		if err := bucket.Delete(keyOf(p)); err != nil {
			return fmt.Errorf("delete block of %v: %w", p, err)
		}
	}
	// Neighbours share pages.
	slices.SortFunc(b.Put, func(x, y Block) int { return bytes.Compare(keyOf(x.Prefix), keyOf(y.Prefix)) })
	last := bucket.Sequence()
	for i := range b.Put {
		last = max(last, b.Put[i].ID)
		if err := bucket.Put(keyOf(b.Put[i].Prefix), b.Put[i].encode()); err != nil {
			return fmt.Errorf("put block of %v: %w", b.Put[i].Prefix, err)
		}
	}
	return bucket.SetSequence(last)
}

func (l *Ledger) writeHistory(bucket *bbolt.Bucket, blocks []Block) error {
	last := bucket.Sequence()
	for _, b := range blocks {
		last = max(last, b.ID)
	}
	for _, b := range blocks {
		if b.ID+l.options.History <= last {
			continue
		}
		if b.Detail == nil { // a block that goes on: what led to it stays
			b.Detail, _ = detailIn(bucket, b.ID) // what cannot be read must not keep others from being saved
		}
		v, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("encode block of %v: %w", b.Prefix, err)
		}
		if err := bucket.Put(idKey(b.ID), v); err != nil {
			return fmt.Errorf("put history of %v: %w", b.Prefix, err)
		}
	}
	return errors.Join(bucket.SetSequence(last), trim(bucket, last, l.options.History))
}

func writeAllow(bucket *bbolt.Bucket, b Batch) error {
	for _, p := range b.Disallow {
		if err := bucket.Delete(keyOf(p)); err != nil {
			return fmt.Errorf("delete allow entry of %v: %w", p, err)
		}
	}
	for _, a := range b.Allow {
		v, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode allow entry of %v: %w", a.Prefix, err)
		}
		if err := bucket.Put(keyOf(a.Prefix), v); err != nil {
			return fmt.Errorf("put allow entry of %v: %w", a.Prefix, err)
		}
	}
	return nil
}

func (l *Ledger) writeAudit(bucket *bbolt.Bucket, entries []Audit) error {
	for _, a := range entries {
		v, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode audit entry: %w", err)
		}
		id, err := bucket.NextSequence()
		if err != nil {
			return fmt.Errorf("number audit entry: %w", err)
		}
		if err := bucket.Put(idKey(id), v); err != nil {
			return fmt.Errorf("put audit entry: %w", err)
		}
	}
	return trim(bucket, bucket.Sequence(), l.options.Audit)
}

// trim deletes what is keep or more numbers older than last.
func trim(bucket *bbolt.Bucket, last, keep uint64) error {
	if last <= keep {
		return nil
	}
	c := bucket.Cursor()
	for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= last-keep; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return fmt.Errorf("trim: %w", err)
		}
	}
	return nil
}

func idKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func (l *Ledger) view(name []byte, read func(*bbolt.Bucket) error) error {
	err := sound(func() error {
		return l.db.View(func(tx *bbolt.Tx) error { return read(tx.Bucket(name)) })
	})
	if err != nil {
		return fmt.Errorf("read ledger: %w", classify(err))
	}
	return nil
}

func (l *Ledger) newestFirst(name []byte, each func([]byte) (bool, error)) error {
	return l.view(name, func(b *bbolt.Bucket) error {
		c := b.Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			if more, err := each(v); !more || err != nil {
				return err
			}
		}
		return nil
	})
}

// sound runs f and makes an error of what a damaged file does to bbolt: it
// panics, or reads behind the end of its memory map.
func sound(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return f()
}

func classify(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
