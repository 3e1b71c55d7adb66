package appliance

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"uppercut/cmd/uppercut/config"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/enforcer"
)

// What people ask: the console.Reader side of the appliance.

// Status implements console.Reader. Its numbers are those of /metrics, so that
// page and Prometheus never disagree.
func (a *Appliance) Status(ctx context.Context) (console.Status, error) {
	c := a.config.Load()
	state := a.enforcer.Show()
	families, err := a.registry.Gather()
	if err != nil {
		return console.Status{}, err
	}
	n := counts(families)
	last := a.reloads.Last()
	s := console.Status{
		Version: a.options.Build.Version, Now: time.Now(), Started: a.started,
		Mode: c.Mode, Suspended: state.Suspended, PausedUntil: state.PausedUntil,
		Enforcing: console.Families{IPv4: state.Enforcing, IPv6: state.Enforcing},
		Bypasses:  state.Around.Words(),
		Blocks: console.ActiveBlocks{
			Addresses4: int(n.sum("uppercut_blocks_active", "family", "ipv4", "kind", "address")),
			Addresses6: int(n.sum("uppercut_blocks_active", "family", "ipv6", "kind", "address")),
			Networks4:  int(n.sum("uppercut_blocks_active", "family", "ipv4", "kind", "network")),
			Networks6:  int(n.sum("uppercut_blocks_active", "family", "ipv6", "kind", "network")),
		},
		Totals: console.Totals{
			Received: uint64(n.sum("uppercut_messages_received_total")),
			Judged:   uint64(n.sum("uppercut_messages_judged_total")),
			Lost: uint64(n.sum("uppercut_messages_dropped_total", "reason", "shutdown") +
				n.sum("uppercut_udp_kernel_drops_total") + n.sum("uppercut_messages_lost_total")),
			Rejections:   uint64(n.sum("uppercut_rejections_total")),
			MailAccepted: uint64(n.sum("uppercut_mail_accepted_total")),
			Blocks:       uint64(n.sum("uppercut_blocks_total")),
			Unblocks:     uint64(n.sum("uppercut_unblocks_total")),
		},
		TrackedSources: int(n.sum("uppercut_tracked_sources")),
		TrackedLimit:   c.Detector.MaxSources,
		Rules:          c.RuleNames(),
		AllowEntries:   int(n.sum("uppercut_allowlist_entries")),
		Reload:         console.Reload{At: last.At, Success: last.Success},
	}
	if last.Err != nil {
		s.Reload.Error = last.Err.Error()
	}
	for _, drops := range state.Dropped {
		s.Totals.DroppedPackets += drops.Packets
		s.Totals.DroppedBytes += drops.Bytes
	}
	s.BlockLatencyP50 = console.Duration(n.quantile("uppercut_block_duration_seconds", 0.5))
	s.BlockLatencyP99 = console.Duration(n.quantile("uppercut_block_duration_seconds", 0.99))
	return s, a.countHosts(ctx, &s, n)
}

// FindBlocks implements console.Reader.
func (a *Appliance) FindBlocks(_ context.Context, q console.Query) (found []console.Block, matching int, err error) {
	blocks, matching := a.enforcer.Find(enforcer.Query{
		Within: q.Within, Rule: q.Rule, Reason: q.Reason, Host: q.Host, After: enforcer.Place(q.After), Limit: q.Limit,
	})
	for _, b := range blocks {
		found = append(found, a.noted(blockForPeople(b)))
	}
	return found, matching, nil
}

// noted says which file a block stands in, if it is by a list.
func (a *Appliance) noted(b console.Block) console.Block {
	if b.Rule == enforcer.Listed {
		b.Note = a.lists.FileOf(b.Prefix)
	}
	return b
}

func blockForPeople(b enforcer.Block) console.Block {
	forPeople := console.Block{
		ID: b.ID, Prefix: b.Prefix, At: b.At, Until: b.Until, Rule: b.Rule, Score: b.Score,
		Reason: b.Reason, Note: b.Note, Author: b.Author, Seen: b.Seen,
	}
	if forPeople.Permanent = b.Permanent(); forPeople.Permanent {
		forPeople.Until = time.Time{}
	}
	for _, line := range b.Evidence {
		if !slices.Contains(forPeople.Hosts, line.Host) {
			forPeople.Hosts = append(forPeople.Hosts, line.Host)
		}
	}
	if forPeople.Hosts == nil && b.Host != "" {
		forPeople.Hosts = []string{b.Host}
	}
	return forPeople
}

// NotEnforced implements console.Reader.
func (a *Appliance) NotEnforced() string {
	switch {
	case a.config.Load().Mode == config.ModeObserve:
		return console.CauseObserve
	case a.enforcer.Suspended():
		return console.CauseSuspended
	}
	return ""
}

// Allowed implements console.Reader: what operators said, then what the
// configuration says.
func (a *Appliance) Allowed(context.Context) ([]console.Allowance, error) {
	var list []console.Allowance
	byHand := make(map[netip.Prefix]bool)
	for e := range a.enforcer.Allowed() {
		byHand[e.Prefix] = true
		list = append(list, allowance(e))
	}
	for p := range a.guard.Allowed() {
		if !byHand[p] {
			list = append(list, console.Allowance{Prefix: p, Configured: true})
		}
	}
	slices.SortFunc(list, func(x, y console.Allowance) int {
		return cmp.Or(x.Prefix.Addr().Compare(y.Prefix.Addr()), cmp.Compare(x.Prefix.Bits(), y.Prefix.Bits()))
	})
	return list, nil
}

// Breakers implements console.Reader.
func (a *Appliance) Breakers(ctx context.Context) ([]console.Breaker, error) {
	var states []detector.BreakerStatus
	if err := a.pipeline.ask(ctx, func(d *detector.Detector) { states = d.Breakers() }); err != nil {
		return nil, err
	}
	list := make([]console.Breaker, 0, len(states))
	for _, s := range states {
		list = append(list, console.Breaker{
			Host: a.hosts.Label(s.Sender, s.Host), Claimed: s.Host,
			Open: s.Open, Since: s.Since, Reason: breakerWords(s.Cause), SetAside: s.SetAside,
		})
	}
	return list, nil
}

// breakerWords says why a breaker is open.
func breakerWords(cause string) string {
	switch cause {
	case "partners":
		return "it refuses sources whose mail the other hosts accept"
	case "surge":
		return "it refuses far more sources than usual, nearly all for one reason"
	}
	return cause
}

// TopSources implements console.Reader.
func (a *Appliance) TopSources(ctx context.Context, limit int) ([]console.TopItem, error) {
	var items []console.TopItem
	err := a.pipeline.ask(ctx, func(d *detector.Detector) {
		for _, s := range d.Top(limit, time.Now()) {
			items = append(items, topItem(s))
		}
	})
	return items, err
}

func topItem(s detector.SourceStatus) console.TopItem {
	item := console.TopItem{Name: s.Prefix.String(), Last: s.LastSeen}
	for _, r := range s.Rules {
		item.Score = max(item.Score, r.Score/r.Limit)
	}
	for _, o := range s.Offences {
		item.Count += uint64(o.Count)
	}
	return item
}

// Firewall implements console.Reader.
func (a *Appliance) Firewall(context.Context) (console.Firewall, error) {
	state := a.enforcer.Show()
	f := console.Firewall{
		Table: state.Table, NotEnforced: a.NotEnforced(), Repairs: state.Repairs,
		DroppedPackets4: state.Dropped["ipv4"].Packets, DroppedPackets6: state.Dropped["ipv6"].Packets,
	}
	if state.Suspended {
		f.Problems = append(f.Problems, "suspended by flush: there is no table until resume")
	}
	f.Flowtables, f.Covered, f.Bypasses = state.Around.Flowtables, state.Around.Covered, state.Around.Words()
	if v := a.verified.Load(); v != nil {
		v.describe(&f)
	}
	for _, s := range state.Sets {
		set := console.FirewallSet{Name: s.Name, Absent: s.Absent(), Listed: s.Listed, Capacity: s.Capacity}
		if s.Elements >= 0 {
			set.Elements = &s.Elements
		}
		f.Sets = append(f.Sets, set)
	}
	if n := len(state.Drifts); n > 0 {
		last := console.Drift(state.Drifts[n-1])
		f.LastDrift = &last
	}
	return f, nil
}

// verification is what the last comparison of kernel and list has found. By now
// that may be repaired: it is told with its time.
type verification struct {
	at     time.Time
	report enforcer.Report
}

// describe fills in what was found.
func (v *verification) describe(f *console.Firewall) {
	found := v.report.Found
	f.Verified, f.Missing, f.Unexpected, f.Unsearched = v.at, found["missing"], found["unexpected"], v.report.Unsearched
	for kind, n := range found {
		switch {
		case n == 0 || kind == "missing" || kind == "unexpected":
		case kind == "timeout":
			f.Problems = append(f.Problems, fmt.Sprintf("%d elements had a different time left than the list when compared", n))
		default:
			f.Problems = append(f.Problems, kind+" was missing or different when compared")
		}
	}
	slices.Sort(f.Problems)
}

// Configuration implements console.Reader.
func (a *Appliance) Configuration(context.Context) (string, error) {
	var text bytes.Buffer
	err := a.config.Load().Print(&text)
	return text.String(), err
}

// Samples implements console.Reader.
func (a *Appliance) Samples(context.Context) ([]console.Sample, error) {
	return a.samples.List(), nil
}
