package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/enforcer/guard"
)

// What operators order: the console.Operator side of the appliance.

// leaveAlone is how long an unblocked source is left alone.
const leaveAlone = 10 * time.Minute

// What the audit log calls the orders that the enforcer has no part in.
const (
	auditCloseBreaker = "close_breaker"
	auditReload       = "reload"
)

// inForce is err unless all that is wrong with an order is that it is not saved:
// then whoever ordered it is told, and it has not failed.
func inForce(ctx context.Context, err error) error {
	if !errors.Is(err, enforcer.ErrUnsaved) {
		return err
	}
	console.NoteUnsaved(ctx, err)
	return nil
}

// Block implements console.Operator.
func (a *Appliance) Block(ctx context.Context, o console.Order) (console.BlockResult, error) {
	lasts := o.For
	if lasts == 0 {
		lasts = console.ManualBlock
	}
	now := time.Now()
	until := now.Add(lasts)
	if permanent := console.Duration(lasts) == console.Forever; permanent {
		until = enforcer.Forever
	}
	refused, err := a.enforcer.BlockNow(ctx, o.Author, o.Note, until, o.Prefixes...)
	if err = inForce(ctx, err); err != nil {
		return console.BlockResult{}, err
	}
	result := console.BlockResult{NotEnforced: a.NotEnforced()}
	no := make(map[netip.Prefix]bool)
	for _, r := range refused {
		no[r.Prefix] = true
		result.Refused = append(result.Refused, console.Refusal{Prefix: r.Prefix, Cause: r.Cause})
	}
	for _, p := range o.Prefixes {
		if no[p] {
			continue
		}
		result.Blocked = append(result.Blocked, blockForPeople(enforcer.Block{
			Prefix: p, At: now, Until: until, Rule: enforcer.Manual, Author: o.Author, Note: o.Note,
		}))
	}
	return result, nil
}

// Unblock implements console.Operator.
func (a *Appliance) Unblock(ctx context.Context, o console.Order) (console.UnblockResult, error) {
	now := time.Now()
	result := console.UnblockResult{LeftAloneUntil: now.Add(leaveAlone)}
	for _, p := range o.Prefixes {
		// To leave it alone would be to judge nobody: that is what flush is for.
		if a.guard.TooWide(p) {
			return result, fmt.Errorf("%w: %s is wider than anything that is blocked; flush stops all blocking", console.ErrRefused, p)
		}
	}
	// The pardon comes first: a verdict between the two would block again.
	err := a.pipeline.ask(ctx, func(d *detector.Detector) { d.Pardon(result.LeftAloneUntil, o.Prefixes...) })
	if err != nil {
		return result, err
	}
	unblock := a.enforcer.Unblock
	if o.Exact {
		unblock = a.enforcer.UnblockExactly
	}
	result.Unblocked, err = unblock(ctx, o.Author, o.Note, o.Prefixes...)
	if err = inForce(ctx, err); err != nil {
		return result, err
	}
	for _, p := range result.Unblocked {
		if file := a.lists.FileOf(p); file != "" {
			result.Listed = append(result.Listed, console.ListedPrefix{Prefix: p, File: file})
		}
	}
	result.NotBlocked = enforcer.Apart(o.Prefixes, result.Unblocked)
	return result, a.lifted(ctx, result.Unblocked)
}

// Allow implements console.Operator. The guard comes first, so that no verdict
// falls between.
func (a *Appliance) Allow(ctx context.Context, o console.Order) ([]console.Allowance, error) {
	now := time.Now()
	var until time.Time
	if o.For > 0 && console.Duration(o.For) != console.Forever {
		until = now.Add(o.For)
	}
	if i := slices.IndexFunc(o.Prefixes, guard.MuchOfTheInternet); i >= 0 && !o.Force {
		return nil, fmt.Errorf("%w: %s covers much of the Internet and would leave almost no address that can be blocked; flush stops all blocking, --force allows it anyway",
			console.ErrRefused, o.Prefixes[i])
	}
	var list []console.Allowance
	for _, p := range o.Prefixes {
		blocked := a.blockedWithin(p) // the guard's news may lift them before we do
		a.guard.Allow(p, until)
		entry := enforcer.AllowEntry{Prefix: p, Since: now, Until: until, Author: o.Author, Note: o.Note}
		lifted, err := a.enforcer.Allow(ctx, entry)
		if err = inForce(ctx, err); err != nil {
			return list, err
		}
		if err := a.lifted(ctx, lifted); err != nil {
			return list, err
		}
		added := allowance(entry)
		added.Lifted = blocked
		list = append(list, added)
	}
	return list, nil
}

// blockedWithin are the blocks that lie in p.
func (a *Appliance) blockedWithin(p netip.Prefix) (within []netip.Prefix) {
	found, _ := a.enforcer.Find(enforcer.Query{Within: p, Limit: a.enforcer.Count() + 1})
	for _, b := range found {
		if b.Prefix.Bits() >= p.Bits() {
			within = append(within, b.Prefix)
		}
	}
	return within
}

// lifted tells the judge that the blocks of these prefixes are gone.
func (a *Appliance) lifted(ctx context.Context, prefixes []netip.Prefix) error {
	if len(prefixes) == 0 {
		return nil
	}
	return a.pipeline.ask(ctx, func(d *detector.Detector) { d.Lifted(prefixes...) })
}

func allowance(e enforcer.AllowEntry) console.Allowance {
	return console.Allowance{Prefix: e.Prefix, At: e.Since, Until: e.Until, Note: e.Note, Author: e.Author}
}

// Disallow implements console.Operator.
func (a *Appliance) Disallow(ctx context.Context, o console.Order) ([]console.Allowance, error) {
	was := make(map[netip.Prefix]enforcer.AllowEntry)
	for e := range a.enforcer.Allowed() {
		was[e.Prefix] = e
	}
	for _, p := range o.Prefixes { // first, so that the enforcer is told what is so now
		a.guard.Disallow(p)
	}
	removed, err := a.enforcer.Disallow(ctx, o.Author, o.Note, o.Prefixes...)
	if err = inForce(ctx, err); err != nil {
		return nil, err
	}
	var list []console.Allowance
	for _, p := range removed {
		list = append(list, allowance(was[p]))
	}
	return list, nil
}

// CloseBreaker implements console.Operator. A host goes by the name that events
// and metrics have, or by the one in its log lines.
func (a *Appliance) CloseBreaker(ctx context.Context, by console.By, host string) error {
	closed := 0
	meant := func(sender, name string) bool { return name == host || a.hosts.Label(sender, name) == host }
	if err := a.pipeline.ask(ctx, func(d *detector.Detector) { closed = d.CloseBreaker(meant) }); err != nil {
		return err
	}
	if closed == 0 {
		return fmt.Errorf("%w: no breaker is open for host %q", console.ErrNotFound, host)
	}
	return inForce(ctx, a.enforcer.Record(ctx, enforcer.Audit{Action: auditCloseBreaker, Author: by.Author, Note: by.Note, Host: host}))
}

// Flush implements console.Operator.
func (a *Appliance) Flush(ctx context.Context, by console.By, pause time.Duration, forget bool) error {
	var until time.Time
	if pause > 0 {
		until = time.Now().Add(pause)
	}
	return inForce(ctx, a.enforcer.Flush(ctx, by.Author, by.Note, until, forget))
}

// Resume implements console.Operator.
func (a *Appliance) Resume(ctx context.Context, by console.By) (console.ResumeResult, error) {
	if !a.enforcer.Suspended() {
		return console.ResumeResult{NotEnforced: a.NotEnforced()}, nil
	}
	err := inForce(ctx, a.enforcer.Resume(ctx, by.Author, by.Note))
	a.verified.Store(nil) // of a table that is no more
	return console.ResumeResult{Resumed: true, NotEnforced: a.NotEnforced()}, err
}

// VerifyFirewall implements console.Operator.
func (a *Appliance) VerifyFirewall(ctx context.Context) (console.Firewall, error) {
	report, err := a.enforcer.Verify(ctx)
	if err != nil {
		return console.Firewall{}, err
	}
	a.verified.Store(&verification{time.Now(), report})
	return a.Firewall(ctx)
}

// RepairFirewall implements console.Operator.
func (a *Appliance) RepairFirewall(ctx context.Context, by console.By) (console.Firewall, error) {
	if _, err := a.enforcer.Repair(ctx, by.Author, by.Note); inForce(ctx, err) != nil {
		return console.Firewall{}, err
	}
	return a.VerifyFirewall(ctx)
}

// Reload implements console.Operator.
func (a *Appliance) Reload(ctx context.Context, by console.By) error {
	return a.reload(ctx, by)
}
