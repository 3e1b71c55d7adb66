package detector

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"uppercut/detector/offence"
)

// What a source takes is part of the promise of 256 bytes.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(source{}); n != 64 {
		t.Errorf("a source takes %d bytes", n)
	}
	if n := unsafe.Sizeof(mark{}); n != markSize {
		t.Errorf("a mark takes %d bytes", n)
	}
	// A slot of the index is 8 bytes and at least three eighths are in use; a
	// source has a bit in each level.
	if most := 64 + 12*marksPerSource + 8*8/3 + levels/8; most > 256 {
		t.Errorf("a source takes up to %d bytes", most)
	}
}

func testKey(tb *table, n uint32) sourceKey {
	var addr [16]byte
	binary.BigEndian.PutUint32(addr[4:], n)
	return tb.key(netip.PrefixFrom(netip.AddrFrom16(addr), 64))
}

// The table is the same as a map, whatever comes and goes.
func TestTableModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	tb := newTable(100_000, [2]uint64{1, 2})
	model := map[uint32][]mark{} // by key
	numbers := map[uint32]uint32{}
	for range 60_000 {
		n := uint32(random.IntN(3000))
		key := testKey(tb, n)
		number := tb.find(&key)
		if number != numbers[n] {
			t.Fatalf("key %d is source %d, want %d", n, number, numbers[n])
		}
		switch {
		case number == 0:
			numbers[n] = tb.add(&key)
			model[n] = nil
		case random.IntN(4) == 0:
			tb.remove(number)
			delete(numbers, n)
			delete(model, n)
		default:
			list := make([]mark, random.IntN(maxMarks+1))
			for i := range list {
				list[i] = mark{second: random.Uint32(), weight: uint16(n)}
			}
			tb.setOffences(tb.at(number), list)
			tb.setFavours(tb.at(number), list[len(list)/2:])
			tb.touch(number, uint8(random.IntN(levels)))
			model[n] = list
		}
	}
	if tb.count != len(model) {
		t.Fatalf("%d sources, want %d", tb.count, len(model))
	}
	for n, list := range model {
		s := tb.at(numbers[n])
		if !slices.Equal(tb.offences(s), list) || !slices.Equal(tb.favours(s), list[len(list)/2:]) {
			t.Fatalf("source %d has lost its marks", n)
		}
	}
	checkLevels(t, tb)
	checkSlab(t, tb)
}

// checkLevels sees that every source is a member of its level and of no other.
func checkLevels(t *testing.T, tb *table) {
	t.Helper()
	members := 0
	for i := range tb.levels {
		set := &tb.levels[i].members
		members += set.count
		found := 0
		for n, ok := set.from(0); ok; n, ok = set.from(n + 1) {
			if s := tb.at(n); s.flags&inUse == 0 || int(s.level) != i {
				t.Fatalf("source %d is a member of level %d: %+v", n, i, s)
			}
			found++
		}
		if found != set.count {
			t.Errorf("level %d has %d members, counted as %d", i, found, set.count)
		}
	}
	if members != tb.count {
		t.Errorf("%d of %d sources are of a level", members, tb.count)
	}
}

// checkSlab sees that every mark belongs to one block, in use or free.
func checkSlab(t *testing.T, tb *table) {
	t.Helper()
	owner := make([]string, len(tb.slab.pages)*slabPageSize)
	claim := func(ref uint32, class uint8, who string) {
		for i := ref; i < ref+1<<class; i++ {
			if owner[i] != "" {
				t.Fatalf("mark %d belongs to %s and to %s", i, owner[i], who)
			}
			owner[i] = who
		}
	}
	used := 0
	for n := uint32(1); n < tb.bound; n++ {
		s := tb.at(n)
		if s.flags&inUse == 0 {
			continue
		}
		for _, b := range []struct {
			ref   uint32
			class uint8
		}{{s.link(), s.offenceClass}, {s.favours, s.favourClass}} {
			if b.class > 0 {
				claim(b.ref, b.class, fmt.Sprintf("source %d", n))
				used += 1 << b.class
			}
		}
	}
	for class := uint8(1); class <= largestClass; class++ {
		for ref := tb.slab.free[class]; ref != 0; ref = tb.slab.block(ref, class)[0].second {
			claim(ref, class, "nobody")
		}
	}
	for i := 2; i < int(tb.slab.next)-1; i++ { // a single mark may lie idle at the end of a page
		if owner[i] == "" && owner[i-1] == "" {
			t.Fatalf("marks %d and the next belong to nobody and are not free", i-1)
		}
	}
	if used != tb.slab.used {
		t.Errorf("%d marks are in use, counted as %d", used, tb.slab.used)
	}
}

// When the slab is full, lists get shorter; no memory beyond its limit is
// taken.
func TestSlabLimit(t *testing.T) {
	tb := newTable(1000, [2]uint64{1, 2})
	full := make([]mark, maxMarks)
	for i := range full {
		full[i].second = uint32(i)
	}
	for n := range uint32(1000) {
		key := testKey(tb, n)
		tb.setOffences(tb.at(tb.add(&key)), full)
	}
	if len(tb.slab.pages) > tb.slab.limit {
		t.Errorf("%d pages, the limit is %d", len(tb.slab.pages), tb.slab.limit)
	}
	for n := uint32(1); n <= 1000; n++ {
		list := tb.offences(tb.at(n))
		if len(list) == 0 || list[len(list)-1].second != maxMarks-1 {
			t.Fatalf("source %d has lost its newest offence: %d marks", n, len(list))
		}
	}
	checkSlab(t, tb)
}

// The least guilty is forgotten first, whatever came first.
func TestEviction(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) { c.MaxSources = 1000 })
	b.offend(noon, "198.51.100.1", offence.OpenProxy)                                           // 8 points
	b.offend(noon, "198.51.100.2", offence.RcptTrap)                                            // blocked
	b.accept(noon, "198.51.100.3", 20)                                                          // a partner
	b.feed(event{at: noon, addr: "198.51.100.4", Event: offence.Event{Kind: offence.Accepted}}) // one message
	for i := range 5000 {
		b.offend(noon.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf("2001:db8:%x::1", i), offence.NullConnection)
	}
	for _, addr := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"} {
		if _, ok := b.d.Source(mustAddr(addr), noon); !ok {
			t.Errorf("%s is forgotten", addr)
		}
	}
	ipv4, ipv6 := b.d.Tracked()
	if ipv4 != 4 || ipv6 != 996 {
		t.Errorf("%d and %d sources", ipv4, ipv6)
	}
	if got := total(t, b.registry, "uppercut_tracked_sources_evicted_total"); got != 5004-1000 {
		t.Errorf("%v forgotten", got)
	}
	checkLevels(t, b.d.sources)
	checkSlab(t, b.d.sources)
}

// A source that was heard of again is not the first of its level to go.
func TestEvictionSparesTheRecent(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) { c.MaxSources = 1000 })
	addr := func(i int) string { return fmt.Sprintf("2001:db8:%x::1", i) }
	for i := range 1000 {
		b.feed(event{at: noon, addr: addr(i), Event: offence.Event{Reason: offence.AuthFail, User: 7}})
	}
	again := event{at: noon.Add(time.Second), addr: addr(0), Event: offence.Event{Reason: offence.AuthFail, User: 7}}
	b.feed(again) // the same name: as guilty as before
	b.feed(event{at: noon.Add(2 * time.Second), addr: addr(1000), Event: offence.Event{Reason: offence.AuthFail, User: 7}})
	for i, known := range []bool{true, false, true} {
		if _, ok := b.d.Source(mustAddr(addr(i)), noon); ok != known {
			t.Errorf("source %d is known: %v", i, ok)
		}
	}
}

// Who has done nothing for long enough is forgotten without being replaced.
func TestSweep(t *testing.T) {
	b := newBench(t, nil)
	b.offend(noon, someone, offence.NullConnection)
	b.tick(noon.Add(7*day - time.Second))
	if _, ok := b.d.Source(mustAddr(someone), noon); !ok {
		t.Error("forgotten too soon")
	}
	b.tick(noon.Add(7 * day))
	if _, ok := b.d.Source(mustAddr(someone), noon); ok {
		t.Error("still remembered")
	}
	if got := total(t, b.registry, "uppercut_tracked_sources"); got != 0 {
		t.Errorf("%v sources are tracked", got)
	}
}

// Under attack a source takes 256 bytes on average, and every list is in
// order.
func TestBoundedMemory(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Options) {
		c.MaxSources = 2000
		c.Rules = []Rule{{Name: "never", Window: 7 * day, Score: 10_000, Block: time.Hour}}
	})
	random := rand.New(rand.NewPCG(1, 9))
	for i := range 300_000 {
		at := noon.Add(time.Duration(i) * time.Second)
		b.offend(at, fmt.Sprintf("2001:db8:%x::1", random.IntN(3000)), offence.Reason(1+random.IntN(int(offence.Other))))
	}
	tb := b.d.sources
	if tb.count != 2000 {
		t.Errorf("%d sources", tb.count)
	}
	bytes := len(tb.pages)*sourcePageSize*64 + len(tb.slab.pages)*slabPageSize*12
	slots := 0
	for i := range tb.shards {
		slots += len(tb.shards[i].slots)
	}
	// Pages are large beside so few sources: one of each may be all but empty.
	if bytes += 8 * slots; bytes > 256*2000+64*sourcePageSize+12*slabPageSize {
		t.Errorf("%d bytes a source", bytes/2000)
	}
	checkLevels(t, tb)
	checkSlab(t, tb)
}
