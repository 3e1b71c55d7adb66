package ledger

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
)

// content is all that a ledger says.
type content struct {
	Blocks  []Block
	History []Block
	Allowed []Allow
	Audit   []Audit
	LastID  uint64
}

// contentOf opens a ledger and reads it, as a start does and then a look at the
// past.
func contentOf(path string) (c content, err error) {
	l, err := Open(path, options)
	if err != nil {
		return c, err
	}
	defer l.Close()
	c.LastID, err = l.LastID()
	errs := []error{err, l.Blocks(func(b Block) error { c.Blocks = append(c.Blocks, b); return nil })}
	c.Allowed, err = l.Allowed()
	errs = append(errs, err, history(l, func(b Block) bool { c.History = append(c.History, b); return true }))
	errs = append(errs, l.Audit(func(a Audit) bool { c.Audit = append(c.Audit, a); return true }))
	return c, errors.Join(errs...)
}

// fullLedger returns the bytes of a ledger in use for some time.
func fullLedger(t *testing.T) []byte {
	t.Helper()
	path := newPath(t)
	l := openNew(t, path)
	for i := range uint64(60) {
		b := block(i+1, fmt.Sprintf("21.0.%d.%d/32", i%3, i))
		b.Witness, b.Detail = "mx1", json.RawMessage(fmt.Sprintf(`[{"text":"line %d"}]`, i))
		commit(t, l, Batch{
			Put:   []Block{b},
			Allow: []Allow{{Prefix: prefix(fmt.Sprintf("203.0.113.%d/32", i)), Since: epoch, Note: "partner"}},
			Audit: []Audit{{Time: epoch, Action: "block", Prefixes: []netip.Prefix{b.Prefix}, Count: 1}},
		})
	}
	commit(t, l, Batch{Delete: []netip.Prefix{prefix("21.0.0.3/32")}, Ends: []End{{ID: 4, Ended: epoch, Cause: "manual", By: "op"}}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// TestABitThatHasFlippedIsNoticed: whatever bit it is, the ledger says what was
// written or that it is damaged.
func TestABitThatHasFlippedIsNoticed(t *testing.T) {
	whole := fullLedger(t)
	path := newPath(t)
	put := func(file []byte) {
		t.Helper()
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(whole)
	want, err := contentOf(path)
	if err != nil || len(want.Blocks) != 59 || len(want.Allowed) != 60 || len(want.Audit) != 10 {
		t.Fatalf("%d blocks, %d allowed, %d audited, %v", len(want.Blocks), len(want.Allowed), len(want.Audit), err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	alarms, silent := 0, 0
	for range 4000 {
		at, bit := r.IntN(len(whole)), byte(1)<<r.IntN(8)
		if whole[at] == 0 && r.IntN(50) > 0 {
			continue // most of the file is empty
		}
		broken := bytes.Clone(whole)
		broken[at] ^= bit
		put(broken)
		got, err := contentOf(path)
		switch {
		case err != nil:
			alarms++
		case !cmp.Equal(want, got, equal):
			silent++
			t.Errorf("bit %#x of byte %#x: accepted in silence:\n%s", bit, at, cmp.Diff(want, got, equal))
		}
	}
	if alarms < 200 {
		t.Errorf("%d alarms: the bits were not where it matters", alarms)
	}
	t.Logf("%d alarms, %d silent", alarms, silent)
}

// TestRecordsThatGoAndComeBackAreNoticed: the kinds of damage that leave each
// record whole.
func TestRecordsThatGoAndComeBackAreNoticed(t *testing.T) {
	a, b := block(1, "192.0.2.1/32"), block(2, "192.0.2.2/32")
	for name, damage := range map[string]func(*bbolt.Bucket) error{
		"one is gone": func(bucket *bbolt.Bucket) error { return bucket.Delete(keyOf(a.Prefix)) },
		"all are gone": func(bucket *bbolt.Bucket) error {
			return errors.Join(bucket.Delete(keyOf(a.Prefix)), bucket.Delete(keyOf(b.Prefix)))
		},
		"one has come": func(bucket *bbolt.Bucket) error {
			return bucket.Put(keyOf(prefix("192.0.2.3/32")), seal(bucketBlocks, keyOf(prefix("192.0.2.3/32")), a.encode()))
		},
		"an earlier state": func(bucket *bbolt.Bucket) error {
			earlier := a
			earlier.Until = epoch
			return bucket.Put(keyOf(a.Prefix), seal(bucketBlocks, keyOf(a.Prefix), earlier.encode()))
		},
		"another key": func(bucket *bbolt.Bucket) error {
			record := bytes.Clone(bucket.Get(keyOf(a.Prefix)))
			return errors.Join(bucket.Delete(keyOf(a.Prefix)), bucket.Put(keyOf(prefix("192.0.2.9/32")), record))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := openNew(t, newPath(t))
			commit(t, l, Batch{Put: []Block{a, b}})
			if err := l.db.Update(func(tx *bbolt.Tx) error { return damage(tx.Bucket(bucketBlocks)) }); err != nil {
				t.Fatal(err)
			}
			if err := l.Blocks(func(Block) error { return nil }); !errors.Is(err, ErrDamaged) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAnEmptyFileIsDamage(t *testing.T) {
	path := newPath(t)
	for size := range int64(3) {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, options); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() != size {
			t.Errorf("%d bytes: it was changed, %v", size, err)
		}
	}
}

func TestALinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	victim := dir + "/victim"
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/ledger.db", "/ledger.db.new"} {
		if err := os.Symlink("victim", dir+name); err != nil {
			t.Fatal(err)
		}
		l, err := Open(dir+"/ledger.db", options)
		if err == nil {
			l.Close()
		}
		if data, _ := os.ReadFile(victim); string(data) != "precious" {
			t.Fatalf("%s: it was followed", name)
		}
		if name == "/ledger.db" && !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
		_ = os.Remove(dir + "/ledger.db")
	}
}

// version1 writes a ledger of version 1 and returns its path.
func version1(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/version1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := newPath(t)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUpgrade(t *testing.T) {
	path := version1(t)
	if _, err := OpenToRead(path); !errors.Is(err, ErrOlder) {
		t.Errorf("to read: %v", err)
	}
	a, b, c := block(1, "192.0.2.1/32"), block(2, "198.51.100.0/24"), block(3, "2001:db8::/64")
	b.Rule, b.Note, b.Author = "manual", "ticket 7", "op"
	c.Reason, c.Host, c.Observed = "unknown_user", "mx1", true
	detailed := a
	detailed.Detail = json.RawMessage(`[{"text":"ruleset=check_relay"}]`)
	want := content{
		Blocks: []Block{a, b}, History: []Block{b, detailed, c}, LastID: 3,
		Allowed: []Allow{{Prefix: prefix("203.0.113.0/28"), Since: epoch, Author: "op", Note: "customer"}},
		Audit:   []Audit{{Time: epoch, Action: "block", Author: "op", Note: "ticket 7", Prefixes: []netip.Prefix{b.Prefix}, Count: 1}},
	}
	for _, when := range []string{"at first", "again"} {
		got, err := contentOf(path)
		if err != nil {
			t.Fatal(when, err)
		}
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
}

// TestUpgradeThatWasInterrupted: records of both versions, and the old version.
func TestUpgradeThatWasInterrupted(t *testing.T) {
	path := version1(t)
	want, err := contentOf(path)
	if err != nil {
		t.Fatal(err)
	}
	l := openNew(t, path)
	err = l.db.Update(func(tx *bbolt.Tx) error {
		k := keyOf(prefix("192.0.2.1/32"))
		old := bytes.Clone(tx.Bucket(bucketBlocks).Get(k)[sealSize-1:])
		old[0] = 1
		return errors.Join(tx.Bucket(bucketBlocks).Put(k, old), tx.Bucket(bucketMeta).Put(keyVersion, []byte{0, 0, 0, 1}))
	})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := contentOf(path)
	if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestEndsAreKept(t *testing.T) {
	l := openNew(t, newPath(t))
	a, b := block(1, "192.0.2.1/32"), block(2, "192.0.2.2/32")
	a.Detail = json.RawMessage(`"evidence"`)
	commit(t, l, Batch{Put: []Block{a}})
	end := End{ID: 1, Ended: epoch.Add(time.Minute), Cause: "manual", By: "op", Why: "mistake"}
	short := b
	short.End = End{Ended: epoch, Cause: "capacity"}
	commit(t, l, Batch{Delete: []netip.Prefix{a.Prefix}, Ends: []End{end, {ID: 77, Cause: "manual"}}, Past: []Block{short}})
	var kept []Block
	if err := history(l, func(b Block) bool { kept = append(kept, b); return true }); err != nil {
		t.Fatal(err)
	}
	a.End = end
	a.End.ID = 0 // the block has it
	if diff := cmp.Diff([]Block{short, a}, kept, equal); diff != "" {
		t.Error(diff)
	}
	if len(blocks(t, l)) != 0 {
		t.Error("a block that has ended is in force")
	}
	if id, err := l.LastID(); id != 2 || err != nil {
		t.Errorf("last ID %d, %v", id, err)
	}
}
