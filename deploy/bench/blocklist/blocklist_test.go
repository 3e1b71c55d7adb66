package blocklist

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/enforcer/ledger"
)

func TestPrefixesAreDifferentAndOfBothFamilies(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	six := 0
	for _, p := range Prefixes(100_000) {
		if seen[p] || p != p.Masked() {
			t.Fatalf("%v is there twice, or no prefix", p)
		}
		seen[p] = true
		if p.Addr().Is6() {
			six++
		}
	}
	if len(seen) != 100_000 || six != 10_000 {
		t.Errorf("%d prefixes, %d of them IPv6", len(seen), six)
	}
}

func TestLedgerHoldsThemAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	want := Prefixes(60_000)
	if err := WriteLedger(path, want); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := map[netip.Prefix]bool{}
	if err := l.Blocks(func(b ledger.Block) error {
		got[b.Prefix] = time.Until(b.Until) > 59*time.Minute
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, p := range want {
		if !got[p] {
			t.Fatalf("%v is not in the ledger, or for too short", p)
		}
	}
}

func TestNftFileNamesThemAll(t *testing.T) {
	var b strings.Builder
	if err := WriteNft(&b, Prefixes(25_000)); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := strings.Count(text, "timeout 1h"); n != 25_000 {
		t.Errorf("%d elements", n)
	}
	if n := strings.Count(text, "add element"); n != 6 {
		t.Errorf("%d commands, want 6 of at most 10,000 elements", n)
	}
}

func TestNftFileHasNoEmptyCommand(t *testing.T) {
	var b strings.Builder
	if err := WriteNft(&b, Prefixes(10)[1:]); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "{  }") {
		t.Errorf("nft refuses an empty list:\n%s", b.String())
	}
}
