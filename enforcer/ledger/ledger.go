package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
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
	// ErrLink: the file is a symbolic link, which is not followed.
	ErrLink = errors.New("it is a symbolic link, which is not followed")
	// ErrOlder: an older version of the program wrote it; it has to be opened
	// for writing once.
	ErrOlder = errors.New("an older version of uppercut wrote it")
)

// Version is the layout that this program reads and writes.
const Version = 2

const lockTimeout = time.Second

var (
	bucketMeta    = []byte("meta")
	bucketBlocks  = []byte("blocks")
	bucketHistory = []byte("history")
	bucketAllow   = []byte("allow")
	bucketAudit   = []byte("audit")

	keyVersion = []byte("version")
	keyTallies = []byte("tallies")
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
	// Until is when a flush ends by itself, zero if it does not.
	Until time.Time `json:"until,omitzero"`
}

// Batch is what one Commit writes: the deletions first.
type Batch struct {
	Delete   []netip.Prefix
	Put      []Block
	Disallow []netip.Prefix
	Allow    []Allow
	Audit    []Audit
	// Past are blocks that have ended before they were written; Ends are the
	// ends of blocks in the history.
	Past []Block
	Ends []End
}

// End is how a block ended. Of a block whose history is no longer kept it says
// nothing.
type End struct {
	ID    uint64    `json:"-"`
	Ended time.Time `json:",omitzero"`
	// Cause is what the owner calls it; By is who ordered it and Why what they
	// noted, "" if nobody did.
	Cause string `json:",omitempty"`
	By    string `json:",omitempty"`
	Why   string `json:",omitempty"`
}

// Ledger is an open ledger.
type Ledger struct {
	db      *bbolt.DB
	options Options
}

// Open opens the ledger in the file, making it if there is none, and brings one
// of an older version up to date. The error wraps ErrLocked, ErrDamaged,
// ErrNewer or what the file system says.
func Open(path string, o Options) (*Ledger, error) {
	found, err := look(path)
	if err == nil && !found {
		err = create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger %q: %w", path, err)
	}
	return open(path, o, false)
}

// OpenToRead opens a ledger that is there and changes nothing. One of an older
// version is not read: ErrOlder.
func OpenToRead(path string) (*Ledger, error) {
	if _, err := look(path); err != nil {
		return nil, fmt.Errorf("open ledger %q: %w", path, err)
	}
	return open(path, Options{}, true)
}

func open(path string, o Options, toRead bool) (l *Ledger, err error) {
	err = sound(func() error {
		db, err := openFile(path, toRead)
		if err != nil {
			return err
		}
		l = &Ledger{db: db, options: o}
		if err := checkPages(path); err != nil {
			return errors.Join(err, db.Close())
		}
		if err := l.prepare(toRead); err != nil {
			return errors.Join(err, db.Close())
		}
		return nil
	})
	if err == nil {
		return l, nil
	}
	err = classify(err)
	if _, system := errors.AsType[syscall.Errno](err); !system && !known(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err) // bbolt does not like it
	}
	return nil, fmt.Errorf("open ledger %q: %w", path, err)
}

// known reports whether err says already what is wrong with a ledger.
func known(err error) bool {
	return errors.Is(err, ErrLocked) || errors.Is(err, ErrNewer) || errors.Is(err, ErrOlder) || errors.Is(err, ErrDamaged)
}

// look reports whether there is a file. A new ledger is made as a whole, so that an
// empty one is damage.
func look(path string) (found bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() == fs.ModeSymlink:
		return true, ErrLink
	case info.Mode().IsRegular() && info.Size() == 0:
		return true, fmt.Errorf("%w: the file is empty", ErrDamaged)
	}
	return true, nil
}

// create makes a new ledger, as a whole or not at all.
func create(path string) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openFile(fresh, false)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(begin), db.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// begin makes the buckets of a new ledger.
func begin(tx *bbolt.Tx) error {
	for _, name := range append(slices.Clone(tallied), bucketMeta) {
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	return errors.Join(writeVersion(tx), writeTallies(tx, newTallies()))
}

func writeVersion(tx *bbolt.Tx) error {
	return tx.Bucket(bucketMeta).Put(keyVersion, binary.BigEndian.AppendUint32(nil, Version))
}

// openFile opens a bbolt database, never through a symbolic link.
func openFile(path string, toRead bool) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true, ReadOnly: toRead,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			return os.OpenFile(name, flag|syscall.O_NOFOLLOW, perm) //nolint:gosec // the path is the owner's
		},
	})
}

// prepare checks the version and the buckets of a ledger.
func (l *Ledger) prepare(toRead bool) error {
	var version uint32
	err := l.db.View(func(tx *bbolt.Tx) (err error) {
		version, err = versionOf(tx)
		if err == nil && version == Version {
			_, err = readTallies(tx)
		}
		return err
	})
	if err != nil || version == Version {
		return err
	}
	if toRead {
		return fmt.Errorf("%w: version %d, this one writes %d", ErrOlder, version, Version)
	}
	return l.upgrade()
}

// versionOf reads the version, and whether there is all that it takes.
func versionOf(tx *bbolt.Tx) (uint32, error) {
	for _, name := range append(slices.Clone(tallied), bucketMeta) {
		if tx.Bucket(name) == nil {
			return 0, fmt.Errorf("%w: no bucket %s", ErrDamaged, name)
		}
	}
	v := tx.Bucket(bucketMeta).Get(keyVersion)
	if len(v) != 4 {
		return 0, fmt.Errorf("%w: no version", ErrDamaged)
	}
	switch got := binary.BigEndian.Uint32(v); {
	case got > Version:
		return got, fmt.Errorf("%w: version %d, this one knows %d", ErrNewer, got, Version)
	case got == 0:
		return got, fmt.Errorf("%w: version 0", ErrDamaged)
	default:
		return got, nil
	}
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
// error. When all were read they are counted: the error wraps ErrDamaged if there
// are not as many, and the same, as were written.
func (l *Ledger) Blocks(each func(Block) error) error {
	var d decoder
	return l.all(bucketBlocks, func(k, payload []byte) error {
		p, err := prefixOf(k)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		block, err := d.decode(p, payload)
		if err != nil {
			return fmt.Errorf("%w: block of %v: %w", ErrDamaged, p, err)
		}
		return each(block)
	})
}

// all calls each with the records of a bucket, in order, and counts them.
func (l *Ledger) all(name []byte, each func(key, payload []byte) error) error {
	return l.view(func(tx *bbolt.Tx) error {
		wanted, err := readTallies(tx)
		if err != nil {
			return err
		}
		var found tally
		err = tx.Bucket(name).ForEach(func(k, v []byte) error {
			payload, err := unseal(name, k, v)
			if err != nil {
				return err
			}
			found.add(v)
			return each(k, payload)
		})
		if want := *wanted.of[string(name)]; err == nil && found != want {
			return fmt.Errorf("%w: %s: %d records, but %d were written", ErrDamaged, name, found.count, want.count)
		}
		return err
	})
}

// Has reports whether there is a block of exactly p.
func (l *Ledger) Has(p netip.Prefix) (found bool) {
	_ = l.view(func(tx *bbolt.Tx) error {
		found = tx.Bucket(bucketBlocks).Get(keyOf(p)) != nil
		return nil
	})
	return found
}

// LastID is the highest block ID ever committed.
func (l *Ledger) LastID() (id uint64, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		t, err := readTallies(tx)
		id = t.lastID
		return err
	})
	return id, err
}

// HistoryOf calls each with the kept blocks that overlap p, newest first, until
// it returns false. It decodes no others.
func (l *Ledger) HistoryOf(p netip.Prefix, each func(Block) bool) error {
	return l.newestFirst(bucketHistory, func(k, record []byte) (bool, error) {
		payload, err := unseal(bucketHistory, k, record)
		if err != nil {
			return false, err
		}
		if of, ok := prefixOfHistory(payload); ok && !of.Overlaps(p) {
			return true, nil
		}
		var b Block
		if err := decodeJSON(bucketHistory, payload, &b); err != nil {
			return false, err
		}
		return !b.Prefix.Overlaps(p) || each(b), nil
	})
}

// decodeJSON reads a payload that is JSON.
func decodeJSON(bucket, payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, bucket, err)
	}
	return nil
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
	return l.newestFirst(bucketAudit, func(k, record []byte) (bool, error) {
		payload, err := unseal(bucketAudit, k, record)
		if err != nil {
			return false, err
		}
		var a Audit
		if err := decodeJSON(bucketAudit, payload, &a); err != nil {
			return false, err
		}
		return each(a), nil
	})
}

// Detail returns the detail of a block, nil if it is no longer kept.
func (l *Ledger) Detail(id uint64) (detail json.RawMessage, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		payload, err := writer{name: bucketHistory, bucket: tx.Bucket(bucketHistory)}.get(idKey(id))
		if err != nil || payload == nil {
			return err
		}
		var b Block
		err = decodeJSON(bucketHistory, payload, &b)
		detail = b.Detail
		return err
	})
	return detail, err
}

// Allowed returns the allow list made by hand, in order of prefix.
func (l *Ledger) Allowed() (list []Allow, err error) {
	err = l.all(bucketAllow, func(_, payload []byte) error {
		var a Allow
		if err := decodeJSON(bucketAllow, payload, &a); err != nil {
			return err
		}
		list = append(list, a)
		return nil
	})
	return list, err
}

func idKey(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

func (l *Ledger) view(read func(*bbolt.Tx) error) error {
	err := sound(func() error { return l.db.View(read) })
	if err != nil {
		return fmt.Errorf("read ledger: %w", classify(err))
	}
	return nil
}

func (l *Ledger) newestFirst(name []byte, each func(key, record []byte) (bool, error)) error {
	return l.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(name).Cursor()
		for k, v := c.Last(); k != nil; k, v = c.Prev() {
			if more, err := each(k, v); !more || err != nil {
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
