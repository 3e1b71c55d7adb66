package detector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"

	"github.com/google/go-cmp/cmp"
)

// lived returns a Detector that knows a little of everything.
func lived(t testing.TB) *bench {
	t.Helper()
	b := newBench(t, func(c *Config, _ *Options) { c.Neighbourhood.Enabled = true })
	for i := range 200 {
		at := noon.Add(time.Duration(i) * time.Second)
		b.feed(event{at: at, addr: fmt.Sprintf("198.51.100.%d", i%50), host: fmt.Sprintf("mx%d", i%7), Event: offence.Event{Reason: offence.Reason(1 + i%40), User: uint64(i)}})
		b.accept(at, fmt.Sprintf("2001:db8:%x::1", i%30), 1)
	}
	for i := range 6 {
		b.accept(noon.Add(-time.Hour), partnerAddr(i), 3)
		b.refuse(noon.Add(200*time.Second), i, offence.AccessDenied)
	}
	b.d.Pardon(noon.Add(time.Hour), mustPrefix("198.51.100.7/32"))
	return b
}

func snapshot(t testing.TB, d *Detector) []byte {
	t.Helper()
	var w bytes.Buffer
	if err := d.Snapshot(&w); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}

func statuses(d *Detector, now time.Time) (all []SourceStatus) {
	for n := uint32(1); n < d.sources.bound; n++ {
		if s := d.sources.at(n); s.flags&inUse != 0 {
			status, _ := d.Source(s.prefix().Addr(), now)
			status.Evidence, status.Exempt = nil, false
			all = append(all, status)
		}
	}
	return all
}

// What is known before a restart is known after it, and judged the same way.
func TestSnapshotRoundTrip(t *testing.T) {
	before, after := lived(t), newBench(t, func(c *Config, _ *Options) { c.Neighbourhood.Enabled = true })
	now := noon.Add(300 * time.Second)
	if err := after.d.Restore(bytes.NewReader(snapshot(t, before.d)), now); err != nil {
		t.Fatal(err)
	}
	key := func(s SourceStatus) string { return s.Prefix.String() }
	want, got := map[string]SourceStatus{}, map[string]SourceStatus{}
	for _, s := range statuses(before.d, now) {
		want[key(s)] = s
	}
	for _, s := range statuses(after.d, now) {
		got[key(s)] = s
	}
	if len(want) < 80 {
		t.Fatalf("only %d sources to compare", len(want))
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if !after.open("mx2") || total(t, after.registry, "uppercut_breaker_open") != 1 {
		t.Error("the breaker is closed")
	}
	if !after.d.pardoned(mustPrefix("198.51.100.7/32")) {
		t.Error("the pardon is lost")
	}
	if after.d.key != before.d.key {
		t.Error("user names would be hashed with another key")
	}
	checkLevels(t, after.d.sources)
	checkSlab(t, after.d.sources)
}

// What is too old when it is read is left out.
func TestRestoreLeavesOutWhatIsOver(t *testing.T) {
	b := newBench(t, nil)
	b.offend(noon, "198.51.100.1", offence.DNSBL)
	b.offend(noon, "198.51.100.2", offence.RcptTrap) // blocked: its history counts for a month
	b.d.Pardon(noon.Add(time.Hour), mustPrefix("203.0.113.0/24"))
	after := newBench(t, nil)
	if err := after.d.Restore(bytes.NewReader(snapshot(t, b.d)), noon.Add(8*day)); err != nil {
		t.Fatal(err)
	}
	if ipv4, _ := after.d.Tracked(); ipv4 != 1 {
		t.Errorf("%d sources are left", ipv4)
	}
	if status, ok := after.d.Source(mustAddr("198.51.100.2"), noon.Add(8*day)); !ok || status.Blocks != 1 {
		t.Errorf("%+v", status)
	}
	if after.d.pardons.until.Size() > 0 {
		t.Error("the pardon is over, and remembered")
	}
}

// A learned zone is known after a restart, unless another is configured now.
func TestSnapshotKeepsZones(t *testing.T) {
	b := newBench(t, nil)
	learnedAfter(&b.d.hosts.named("s", "mx1").clock, 2*time.Hour, time.Second, 30)
	data := snapshot(t, b.d)
	after := newBench(t, nil)
	if err := after.d.Restore(bytes.NewReader(data), noon); err != nil {
		t.Fatal(err)
	}
	if c := after.d.hosts.named("s", "mx1").clock; !c.learned || c.offset != 2*time.Hour {
		t.Errorf("%+v", c)
	}
	after = newBench(t, func(c *Config, _ *Options) { c.Zones = []Zone{{Sender: "s", Zone: "America/New_York"}} })
	if err := after.d.Restore(bytes.NewReader(data), noon); err != nil {
		t.Fatal(err)
	}
	if c := after.d.hosts.named("s", "mx1").clock; c.learned || !c.fixed {
		t.Errorf("%+v", c)
	}
}

// Every damage is noticed, and leaves the Detector as it was.
func TestDamagedSnapshot(t *testing.T) {
	good := snapshot(t, lived(t).d)
	b := newBench(t, nil)
	b.offend(noon, someone, offence.DNSBL)
	check := func(what string, data []byte) {
		t.Helper()
		if err := b.d.Restore(bytes.NewReader(data), noon); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("%s: %v", what, err)
		}
		if status, ok := b.d.Source(mustAddr(someone), noon); !ok || status.Rules[0].Score != 5 {
			t.Fatalf("%s: the Detector has changed", what)
		}
	}
	for i := 0; i < len(good); i += 1 + i/50 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		check(fmt.Sprintf("byte %d of %d", i, len(good)), bad)
		check(fmt.Sprintf("cut at %d of %d", i, len(good)), good[:i])
	}
	for what, c := range map[string]struct {
		data []byte
		text string
	}{
		"nothing":         {nil, "it is truncated"},
		"another file":    {[]byte(strings.Repeat("root:x:0:0\n", 9)), "it is not a snapshot"},
		"another version": {append([]byte(snapshotMagic), 9, 0, 0, 0), "version 9, this program reads 3"},
		"one bit":         {append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), "wrong checksum"},
	} {
		err := b.d.Restore(bytes.NewReader(c.data), noon)
		if err == nil || !strings.HasSuffix(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s", what, err, c.text)
		}
	}
}

type brokenDisk struct{ err error }

func (b brokenDisk) Write([]byte) (int, error) { return 0, b.err }
func (b brokenDisk) Read([]byte) (int, error)  { return 0, b.err }

// Errors of reading and writing are not taken for damage.
func TestSnapshotOnABrokenDisk(t *testing.T) {
	disk := brokenDisk{errors.New("no space left")}
	d := lived(t).d
	if err := d.Snapshot(disk); !errors.Is(err, disk.err) || errors.Is(err, ErrSnapshot) {
		t.Errorf("write: %v", err)
	}
	if err := d.Restore(disk, noon); !errors.Is(err, disk.err) || errors.Is(err, ErrSnapshot) {
		t.Errorf("read: %v", err)
	}
}

// A Detector restored with a smaller limit keeps the guiltiest.
func TestRestoreWithASmallerLimit(t *testing.T) {
	b := newBench(t, nil)
	for i := range 3000 {
		b.offend(noon, fmt.Sprintf("2001:db8:%x::1", i), offence.NullConnection)
	}
	b.offend(noon, someone, offence.OpenProxy)
	after := newBench(t, func(c *Config, _ *Options) { c.MaxSources = 1000 })
	if err := after.d.Restore(bytes.NewReader(snapshot(t, b.d)), noon); err != nil {
		t.Fatal(err)
	}
	if ipv4, ipv6 := after.d.Tracked(); ipv4 != 1 || ipv6 != 999 {
		t.Errorf("%d and %d sources are left", ipv4, ipv6)
	}
}

// BenchmarkSnapshot measures for how long the judging goroutine is busy with a
// snapshot.
func BenchmarkSnapshot(b *testing.B) {
	cr := newCrowd(b, *tracked, 1)
	data := snapshot(b, cr.d)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := cr.d.Snapshot(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := cr.d.Restore(bytes.NewReader(data), noon); err != nil {
				b.Fatal(err)
			}
		}
	})
}
