package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"
)

var (
	options = Options{History: 100, Audit: 10}
	epoch   = time.Date(2026, 11, 23, 8, 0, 0, 123456789, time.UTC)
	equal   = cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)}
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func openNew(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "ledger.db") }

func commit(t testing.TB, l *Ledger, b Batch) {
	t.Helper()
	if err := l.Commit(b); err != nil {
		t.Fatal(err)
	}
}

func blocks(t testing.TB, l *Ledger) (all []Block) {
	t.Helper()
	if err := l.Blocks(func(b Block) error { all = append(all, b); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

func block(id uint64, p string) Block {
	return Block{ID: id, Prefix: prefix(p), At: epoch, Until: epoch.Add(time.Hour), Rule: "burst", Score: 12.5}
}

func TestWhatIsCommittedIsThereAfterwards(t *testing.T) {
	path := newPath(t)
	l := openNew(t, path)
	v4, v6 := block(2, "192.0.2.0/24"), block(1, "2001:db8::/64")
	v6.Note, v6.Author, v6.Observed, v6.Rule = "ticket", "op", true, "manual"
	detailed := v4
	detailed.Detail = json.RawMessage(`[{"text":"ruleset=check_relay"}]`)
	allow := Allow{Prefix: prefix("10.0.0.0/8"), Since: epoch, Until: epoch.Add(time.Minute), Author: "op", Note: "n"}
	audit := Audit{Time: epoch, Action: "allow", Author: "op", Prefixes: []netip.Prefix{allow.Prefix}, Count: 1}
	commit(t, l, Batch{Put: []Block{v6, detailed}, Allow: []Allow{allow}, Audit: []Audit{audit}})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	l = openNew(t, path)
	if diff := cmp.Diff([]Block{v4, v6}, blocks(t, l), equal); diff != "" {
		t.Error(diff)
	}
	if id, err := l.LastID(); err != nil || id != 2 {
		t.Errorf("last ID %d, %v", id, err)
	}
	if list, err := l.Allowed(); err != nil || cmp.Diff([]Allow{allow}, list, equal) != "" {
		t.Errorf("allowed %v, %v", list, err)
	}
	var kept []Block
	if err := history(l, func(b Block) bool { kept = append(kept, b); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Block{detailed, v6}, kept, equal); diff != "" {
		t.Error(diff)
	}
	if detail, err := l.Detail(2); err != nil || string(detail) != string(detailed.Detail) {
		t.Errorf("detail %s, %v", detail, err)
	}
	longer := detailed
	longer.Until, longer.Detail = longer.Until.Add(time.Hour), nil
	commit(t, l, Batch{Put: []Block{longer}})
	if detail, err := l.Detail(2); err != nil || string(detail) != string(detailed.Detail) {
		t.Errorf("detail of a block that goes on: %s, %v", detail, err)
	}
	if detail, err := l.Detail(77); err != nil || detail != nil {
		t.Errorf("detail of no block: %s, %v", detail, err)
	}
	var log []Audit
	if err := l.Audit(func(a Audit) bool { log = append(log, a); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Audit{audit}, log, equal); diff != "" {
		t.Error(diff)
	}

	commit(t, l, Batch{Delete: []netip.Prefix{v4.Prefix, prefix("203.0.113.1/32")}, Disallow: []netip.Prefix{allow.Prefix}})
	if diff := cmp.Diff([]Block{v6}, blocks(t, l), equal); diff != "" {
		t.Error(diff)
	}
	if list, err := l.Allowed(); err != nil || len(list) != 0 {
		t.Errorf("allowed %v, %v", list, err)
	}
	if l.Size() == 0 {
		t.Error("no size")
	}
}

func TestDeletionsComeFirst(t *testing.T) {
	l := openNew(t, newPath(t))
	b := block(1, "192.0.2.1/32")
	commit(t, l, Batch{Put: []Block{b}, Delete: []netip.Prefix{b.Prefix}})
	if got := blocks(t, l); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestHistoryAndAuditAreBounded(t *testing.T) {
	l := openNew(t, newPath(t))
	for id := range uint64(250) {
		commit(t, l, Batch{
			Put:   []Block{block(id+1, fmt.Sprintf("192.0.2.%d/32", id))},
			Audit: []Audit{{Time: epoch, Action: fmt.Sprint(id)}},
		})
	}
	var ids []uint64
	if err := history(l, func(b Block) bool { ids = append(ids, b.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 100 || ids[0] != 250 || ids[99] != 151 {
		t.Errorf("history of %d: %v", len(ids), ids)
	}
	var actions []string
	if err := l.Audit(func(a Audit) bool { actions = append(actions, a.Action); return len(actions) < 50 }); err != nil {
		t.Fatal(err)
	}
	if len(actions) != 10 || actions[0] != "249" {
		t.Errorf("audit log %v", actions)
	}
	if len(blocks(t, l)) != 250 {
		t.Error("blocks are bounded too")
	}
}

// history is HistoryOf everybody, IPv4 first.
func history(l *Ledger, each func(Block) bool) error {
	return errors.Join(l.HistoryOf(netip.MustParsePrefix("0.0.0.0/0"), each), l.HistoryOf(netip.MustParsePrefix("::/0"), each))
}

func TestStopsWhereItIsTold(t *testing.T) {
	l := openNew(t, newPath(t))
	commit(t, l, Batch{Put: []Block{block(1, "192.0.2.1/32"), block(2, "192.0.2.2/32")}})
	enough := errors.New("enough")
	n := 0
	if err := l.Blocks(func(Block) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d blocks, %v", n, err)
	}
	n = 0
	if err := history(l, func(Block) bool { n++; return false }); err != nil || n != 1 {
		t.Errorf("%d of the history, %v", n, err)
	}
}

func TestLockedByAnother(t *testing.T) {
	path := newPath(t)
	openNew(t, path)
	if _, err := Open(path, options); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
}

func TestWrittenByANewerVersion(t *testing.T) {
	path := newPath(t)
	l := openNew(t, path)
	err := l.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVersion, []byte{0, 0, 0, Version + 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Open(path, options); !errors.Is(err, ErrNewer) {
		t.Errorf("%v", err)
	}
}

func TestRecordOfANewerVersion(t *testing.T) {
	l := openNew(t, newPath(t))
	b := block(1, "192.0.2.1/32")
	err := l.db.Update(func(tx *bbolt.Tx) error {
		r := seal(bucketBlocks, keyOf(b.Prefix), b.encode())
		r[0] = sealed + 1
		return tx.Bucket(bucketBlocks).Put(keyOf(b.Prefix), r)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Blocks(func(Block) error { return nil }); !errors.Is(err, ErrNewer) {
		t.Errorf("%v", err)
	}
}

// TestDamagedAnywhere overwrites one page after the other: reading must give
// an error or what was written, and must not panic, whatever page it is.
func TestDamagedAnywhere(t *testing.T) {
	path := newPath(t)
	l := openNew(t, path)
	var b Batch
	for i := range 2000 {
		b.Put = append(b.Put, block(uint64(i+1), fmt.Sprintf("10.0.%d.%d/32", i>>8, i&255)))
	}
	commit(t, l, b)
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pageSize := os.Getpagesize()
	noticed := 0
	for page := range len(whole) / pageSize {
		for _, fill := range []byte{0x00, 0xff} {
			broken := append([]byte(nil), whole...)
			for i := range pageSize {
				broken[page*pageSize+i] = fill
			}
			if readAll(t, broken) != nil {
				noticed++
			}
		}
	}
	if noticed == 0 {
		t.Error("no damage was noticed")
	}
	t.Logf("%d of %d damages noticed", noticed, 2*len(whole)/pageSize)
}

func readAll(t *testing.T, file []byte) error {
	t.Helper()
	path := newPath(t)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, options)
	if err != nil {
		return err
	}
	defer l.Close()
	err = l.Blocks(func(Block) error { return nil })
	return errors.Join(err, history(l, func(Block) bool { return true }))
}

func TestNoLedgerAtAll(t *testing.T) {
	for name, text := range map[string]string{"text": "not a ledger", "long text": string(make([]byte, 1<<16))} {
		path := newPath(t)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, options); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	b := block(7, "192.0.2.1/32")
	b.Note, b.Author = "note", "author"
	f.Add(b.encode())
	f.Add([]byte{0, 0x80})
	f.Fuzz(func(t *testing.T, r []byte) {
		var d decoder
		b, err := d.decode(prefix("192.0.2.1/32"), r)
		if err != nil {
			return
		}
		again, err := d.decode(b.Prefix, b.encode())
		if err != nil || again.ID != b.ID || !again.Until.Equal(b.Until) || again.Rule != b.Rule || again.Note != b.Note {
			t.Errorf("%+v becomes %+v, %v", b, again, err)
		}
	})
}

func TestKeysAreThePrefixes(t *testing.T) {
	for _, s := range []string{"0.0.0.0/0", "192.0.2.1/32", "::/0", "2001:db8::/64", "2001:db8::1/128"} {
		if p, err := prefixOf(keyOf(prefix(s))); err != nil || p != prefix(s) {
			t.Errorf("%s becomes %v, %v", s, p, err)
		}
	}
	for _, key := range [][]byte{nil, {4}, {4, 1, 2, 3, 4, 33}, {4, 1, 2, 3, 4, 8}} {
		if p, err := prefixOf(key); err == nil {
			t.Errorf("%v is taken for %v", key, p)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	l := openNew(b, newPath(b))
	id := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		var batch Batch
		for range 1000 {
			id++
			batch.Put = append(batch.Put, Block{
				ID: id, Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(id), byte(id >> 8), byte(id >> 16), 1}), 32),
				At: epoch, Until: epoch.Add(time.Hour), Rule: "burst",
			})
		}
		commit(b, l, batch)
	}
	b.ReportMetric(float64(id)/b.Elapsed().Seconds(), "blocks/s")
}
