package appliance

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
)

// Why implements console.Reader.
func (a *Appliance) Why(ctx context.Context, addr netip.Addr) (console.Why, error) {
	addr = addr.Unmap().WithZone("")
	single := netip.PrefixFrom(addr, addr.BitLen())
	source := detector.SourcePrefix(addr, a.config.Load().Detector.IPv6Prefix)
	w := console.Why{Addr: addr, Source: source, NotEnforced: a.NotEnforced(), Exempt: a.guard.Exempt(single)}
	var (
		status detector.SourceStatus
		story  detector.Story
		known  bool
		now    = time.Now()
	)
	err := a.pipeline.ask(ctx, func(d *detector.Detector) {
		status, known = d.Source(addr, now)
		story = d.Story(addr, now)
	})
	if err != nil {
		return w, err
	}
	w.LeftAloneUntil = story.PardonedUntil
	if known {
		a.describeSource(&w, status, story)
	}
	if err := a.describeBlock(&w, addr); err != nil {
		return w, err
	}
	w.Allowed, err = a.allowanceOf(ctx, addr)
	return w, err
}

// describeSource fills in what the detector knows.
func (a *Appliance) describeSource(w *console.Why, s detector.SourceStatus, story detector.Story) {
	w.Source = s.Prefix
	w.Accepted = console.Accepted{Messages: uint64(s.Accepted), Delivered: uint64(s.Delivered), Last: story.LastMail}
	for _, rule := range a.config.Load().Detector.Rules {
		i := slices.IndexFunc(s.Rules, func(r detector.RuleScore) bool { return r.Rule == rule.Name })
		if i < 0 {
			continue
		}
		w.Rules = append(w.Rules, console.RuleScore{
			Rule: rule.Name, Window: console.Duration(rule.Window), Score: s.Rules[i].Score, Limit: s.Rules[i].Limit,
			Block: console.Duration(rule.Block), Course: courseOf(rule.Name, story),
		})
	}
	for _, e := range s.Evidence {
		w.Evidence = append(w.Evidence, console.Evidence{
			Time: e.Time, Sender: e.Sender, Host: e.Host, Transport: e.Transport, Reason: e.Reason.String(), Text: e.Text,
		})
	}
}

// courseOf is how the score by a rule came about.
func courseOf(rule string, story detector.Story) (points []console.ScorePoint) {
	for _, c := range story.Courses {
		if c.Rule != rule {
			continue
		}
		for _, p := range c.Points {
			points = append(points, console.ScorePoint(p))
		}
	}
	return points
}

// describeBlock fills in what the enforcer and the kernel know.
func (a *Appliance) describeBlock(w *console.Why, addr netip.Addr) error {
	if b, ok := a.enforcer.Lookup(addr); ok {
		b, err := a.enforcer.WithEvidence(b)
		if err != nil {
			return err
		}
		block := a.noted(blockForPeople(b))
		w.Block = &block
		w.Source = b.Prefix
		if len(b.Evidence) > 0 {
			w.Evidence = nil
		}
		for _, e := range b.Evidence {
			w.Evidence = append(w.Evidence, console.Evidence(e))
		}
	}
	set, left, err := a.enforcer.InKernel(addr)
	w.Kernel = console.KernelState{Blocked: set != "", Set: set, Left: console.Duration(left)}
	if err != nil {
		w.Kernel.Problem = err.Error()
	}
	if w.NotEnforced == console.CauseObserve {
		w.Kernel.Problem = "not asked: mode observe"
	}
	if w.Kernel.Blocked {
		w.Kernel.Bypasses = a.enforcer.Around().Words()
	}
	return a.describeHistory(w)
}

// allowanceOf returns the entry of the allow list that covers addr.
func (a *Appliance) allowanceOf(ctx context.Context, addr netip.Addr) (*console.Allowance, error) {
	list, err := a.Allowed(ctx)
	if err != nil {
		return nil, err
	}
	for _, entry := range list {
		if entry.Prefix.Contains(addr) {
			return &entry, nil
		}
	}
	return nil, nil
}
