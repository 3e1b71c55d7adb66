package console

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// fake is an appliance in memory, with a kernel that always agrees.
type fake struct {
	unsaved  error // what an order is told of
	mu       sync.Mutex
	now      time.Time
	blocks   map[netip.Prefix]Block
	allowed  map[netip.Prefix]Allowance
	why      map[netip.Addr]Why
	senders  []Sender
	rejected []Rejection
	samples  []Sample
	open     []Breaker
	config   string
	did      []string // orders carried out, in words
	audit    []AuditEntry
	fail     error // what every method but Status answers, if not nil
	status   Status
	nextID   uint64

	notEnforced string
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newFake() *fake {
	return &fake{
		now: noon, blocks: map[netip.Prefix]Block{}, allowed: map[netip.Prefix]Allowance{}, why: map[netip.Addr]Why{},
		status: Status{
			Version: "v1.0.0", Now: noon, Started: noon.Add(-50 * time.Hour), Mode: "enforce",
			Enforcing: Families{true, true}, TrackedLimit: 5_000_000, HostsSeen: 2, Rules: []string{"burst", "steady"},
		},
		config: "mode: enforce\n",
	}
}

// add puts a block in force and returns it.
func (f *fake) add(b Block) Block {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nextID++
	b.ID = f.nextID
	if b.At.IsZero() {
		b.At = f.now
	}
	if b.Until.IsZero() {
		b.Until = b.At.Add(time.Hour)
	}
	f.blocks[b.Prefix] = b
	return b
}

func (f *fake) record(format string, args ...any) {
	f.did = append(f.did, fmt.Sprintf(format, args...))
}

// done returns the orders carried out so far.
func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.did)
}

func (f *fake) Status(context.Context) (Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	for p := range f.blocks {
		switch {
		case p.Addr().Is4() && p.IsSingleIP():
			s.Blocks.Addresses4++
		case p.Addr().Is4():
			s.Blocks.Networks4++
		case p.Bits() >= 64:
			s.Blocks.Addresses6++
		default:
			s.Blocks.Networks6++
		}
	}
	s.AllowEntries = len(f.allowed)
	return s, nil
}

func (f *fake) FindBlocks(_ context.Context, q Query) (found []Block, matching int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.blocks {
		if q.Within.IsValid() && !q.Within.Overlaps(b.Prefix) || q.Rule != "" && q.Rule != b.Rule ||
			q.Reason != "" && q.Reason != b.Reason || q.Host != "" && !slices.Contains(b.Hosts, q.Host) {
			continue
		}
		matching++
		if !q.After.Prefix.IsValid() || byPlace(Place{b.At, b.Prefix}, q.After) > 0 {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b Block) int { return byPlace(Place{a.At, a.Prefix}, Place{b.At, b.Prefix}) })
	return found[:min(len(found), q.Limit)], matching, f.fail
}

func byPlace(a, b Place) int {
	return cmp.Or(b.At.Compare(a.At), a.Prefix.Compare(b.Prefix))
}

func (f *fake) Why(_ context.Context, a netip.Addr) (Why, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.why[a]
	if !ok {
		w = Why{Addr: a, Source: netip.PrefixFrom(a, a.BitLen())}
	}
	for p, b := range f.blocks {
		if p.Contains(a) {
			w.Block, w.Kernel = &b, KernelState{Blocked: true, Set: "block4", Left: Duration(b.Until.Sub(f.now))}
		}
	}
	return w, f.fail
}

func (f *fake) Allowed(context.Context) ([]Allowance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.SortedFunc(maps.Values(f.allowed), func(a, b Allowance) int {
		return a.Prefix.Compare(b.Prefix)
	}), f.fail
}

func (f *fake) Audit(context.Context) iter.Seq2[AuditEntry, error] {
	return func(yield func(AuditEntry, error) bool) {
		for _, e := range f.audit {
			if !yield(e, nil) {
				return
			}
		}
		if f.fail != nil {
			yield(AuditEntry{}, f.fail)
		}
	}
}

func (f *fake) Breakers(context.Context) ([]Breaker, error) { return f.open, f.fail }
func (f *fake) Senders(context.Context) ([]Sender, error)   { return f.senders, f.fail }
func (f *fake) Samples(context.Context) ([]Sample, error)   { return f.samples, f.fail }

func (f *fake) TopSources(_ context.Context, limit int) ([]TopItem, error) {
	items := []TopItem{{Name: "203.0.113.9/32", Count: 12, Score: 0.8, Last: noon}, {Name: "2001:db8:7::/64", Count: 3, Score: 0.2, Last: noon}}
	return items[:min(limit, len(items))], f.fail
}

func (f *fake) Firewall(context.Context) (Firewall, error) {
	return Firewall{
		Table: "inet uppercut", Verified: noon, DroppedPackets4: 12,
		Sets: []FirewallSet{{Name: "block4", Elements: new(1), Listed: 1, Capacity: 1 << 20}, {Name: "block6", Capacity: 1 << 20}},
	}, f.fail
}

func (f *fake) Configuration(context.Context) (string, error) { return f.config, f.fail }

func (f *fake) Block(_ context.Context, o Order) (BlockResult, error) {
	res := BlockResult{Blocked: []Block{}}
	if f.fail != nil {
		return res, f.fail
	}
	for _, p := range o.Prefixes {
		if p.Addr().IsLoopback() {
			res.Refused = append(res.Refused, Refusal{p, "reserved"})
			continue
		}
		d := cmp.Or(o.For, time.Hour)
		res.Blocked = append(res.Blocked, f.add(Block{
			Prefix: p, Rule: "manual", At: f.now, Until: f.now.Add(d), Note: o.Note, Author: o.Author,
		}))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record("block %v for %v by %s: %s", o.Prefixes, o.For, o.Author, o.Note)
	return res, nil
}

func (f *fake) Unblock(_ context.Context, o Order) (UnblockResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	res := UnblockResult{Unblocked: []netip.Prefix{}, LeftAloneUntil: f.now.Add(10 * time.Minute)}
	if f.fail != nil {
		return res, f.fail
	}
	for _, p := range o.Prefixes {
		if _, ok := f.blocks[p]; !ok {
			res.NotBlocked = append(res.NotBlocked, p)
			continue
		}
		delete(f.blocks, p)
		res.Unblocked = append(res.Unblocked, p)
	}
	f.record("unblock %v by %s: %s", o.Prefixes, o.Author, o.Note)
	return res, nil
}

func (f *fake) Allow(_ context.Context, o Order) ([]Allowance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []Allowance
	for _, p := range o.Prefixes {
		a := Allowance{Prefix: p, At: f.now, Note: o.Note, Author: o.Author}
		if o.For != 0 {
			a.Until = f.now.Add(o.For)
		}
		f.allowed[p] = a
		entries = append(entries, a)
	}
	f.record("allow %v for %v by %s: %s", o.Prefixes, o.For, o.Author, o.Note)
	return entries, f.fail
}

func (f *fake) Disallow(ctx context.Context, o Order) ([]Allowance, error) {
	if f.unsaved != nil {
		NoteUnsaved(ctx, f.unsaved)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []Allowance
	for _, p := range o.Prefixes {
		if a, ok := f.allowed[p]; ok {
			entries = append(entries, a)
			delete(f.allowed, p)
		}
	}
	f.record("disallow %v by %s: %s", o.Prefixes, o.Author, o.Note)
	return entries, f.fail
}

func (f *fake) CloseBreaker(_ context.Context, by By, host string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range f.open {
		if b.Host == host {
			f.open[i].Open = false
			f.record("close breaker of %s by %s: %s", host, by.Author, by.Note)
			return f.fail
		}
	}
	return fmt.Errorf("breaker of %q: %w", host, ErrNotFound)
}

func (f *fake) command(name string, by By) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		f.record("%s by %s: %s", name, by.Author, by.Note)
	}
	return f.fail
}

func (f *fake) Flush(_ context.Context, by By, pause time.Duration, forget bool) error {
	if pause > 0 {
		return f.command("flush for "+FormatDuration(pause), by)
	}
	if forget {
		return f.command("flush and forget", by)
	}
	return f.command("flush", by)
}

func (f *fake) Rejections(_ context.Context, limit int) ([]Rejection, error) {
	return f.rejected[:min(limit, len(f.rejected))], f.fail
}

func (f *fake) NotEnforced() string { return f.notEnforced }
func (f *fake) Resume(_ context.Context, by By) (ResumeResult, error) {
	return ResumeResult{Resumed: true}, f.command("resume", by)
}
func (f *fake) Reload(_ context.Context, by By) error { return f.command("reload", by) }

func (f *fake) VerifyFirewall(ctx context.Context) (Firewall, error) {
	_ = f.command("verify", By{})
	return f.Firewall(ctx)
}

func (f *fake) RepairFirewall(ctx context.Context, by By) (Firewall, error) {
	_ = f.command("repair", by)
	return f.Firewall(ctx)
}
