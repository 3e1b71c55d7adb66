package console

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// overview is the first page: counts for anybody, the last events for who may
// see them.
type overview struct {
	Status   Status
	Trusted  bool
	Now      time.Time
	Problems []problem
	Charts   []chart
	Reasons  []trend
	Hosts    []trend
	Events   []Event
	Before   bool // Events are blocks of before the start
	// Next are the sources closest to a block, Rejected the last rejections.
	Next     []nextSource
	Rejected []Rejection
	// Spans are the times that pictures and lists can cover, In the one that they
	// do, in words.
	Spans []choice
	In    string
	Did   string
	// Query keeps what the reader chose when the live part asks again.
	Query string
}

// shownEvents and shownTop bound the lists of the overview.
const (
	shownEvents = 15
	shownTop    = 8
)

func (c *Console) drawOverview(w http.ResponseWriter, r *http.Request) error {
	v, err := c.overview(r.Context(), callerOf(r).trusted, choicesOf(r))
	if err != nil {
		return err
	}
	v.Did = r.URL.Query().Get("did")
	c.show(w, r, http.StatusOK, "overview", "Overview", v)
	return nil
}

// nextSource is a source that may be blocked next.
type nextSource struct {
	Prefix   netip.Prefix
	Offences uint64
	Percent  int // of the score that blocks it
	Last     time.Time
}

// choices are what the two pictures are broken down by, and what they cover.
type choices struct{ rejections, blocks, over string }

func choicesOf(r *http.Request) choices {
	q := r.URL.Query()
	return choices{q.Get("rejections"), q.Get("blocks"), q.Get("range")}
}

var rejectionMeasures = map[string]measure{"reason": rejectionsByReason, "host": rejectionsByHost}

var blockMeasures = map[string]measure{"rule": blocksByRule, "reason": blocksByReason, "host": blocksByHost}

func (c *Console) overview(ctx context.Context, trusted bool, by choices) (overview, error) {
	status, err := c.pageStatus(ctx)
	if err != nil {
		return overview{}, err
	}
	if _, ok := rejectionMeasures[by.rejections]; !ok {
		by.rejections = "reason"
	}
	if _, ok := blockMeasures[by.blocks]; !ok {
		by.blocks = "rule"
	}
	over := spanOf(by.over)
	by.over = over.Name
	now := time.Now()
	in := c.history.covers(over, now)
	v := overview{
		Status: status, Trusted: trusted, Now: now, Problems: status.problems(), In: in,
		Reasons: firstTrends(c.history.trendsOver(over, rejectionsByReason, now)),
		Hosts:   firstTrends(c.history.trendsOver(over, rejectionsByHost, now)),
		Query:   by.query(),
	}
	for _, s := range spans {
		v.Spans = append(v.Spans, choice{s.Name, "?" + choices{by.rejections, by.blocks, s.Name}.query(), s == over})
	}
	rejections := newChartOver(over, "Rejections", c.history.trendsOver(over, rejectionMeasures[by.rejections], now), now)
	rejections.ID, rejections.In = "rejections", in
	for _, name := range []string{"reason", "host"} {
		rejections.Choices = append(rejections.Choices, choice{name, "?" + choices{name, by.blocks, by.over}.query(), name == by.rejections})
	}
	blocks := newChartOver(over, "Blocks", c.history.trendsOver(over, blockMeasures[by.blocks], now), now)
	blocks.ID, blocks.In = "blocks", in
	for _, name := range []string{"rule", "reason", "host"} {
		blocks.Choices = append(blocks.Choices, choice{name, "?" + choices{by.rejections, name, by.over}.query(), name == by.blocks})
	}
	v.Charts = []chart{rejections, blocks}
	if !trusted {
		return v, nil
	}
	if v.Events = c.feed.latest(shownEvents); len(v.Events) == 0 {
		if v.Events, err = c.newestBlocks(ctx); err != nil {
			return v, err
		}
		v.Before = true
	}
	return v, c.addSources(ctx, &v)
}

// query asks for the same page again.
func (by choices) query() string {
	return "rejections=" + by.rejections + "&blocks=" + by.blocks + "&range=" + by.over
}

// addSources fills in who is next, and who was refused last.
func (c *Console) addSources(ctx context.Context, v *overview) error {
	next, err := c.appliance.TopSources(ctx, shownTop)
	if err != nil {
		return err
	}
	for _, item := range next {
		p, err := netip.ParsePrefix(item.Name)
		if err != nil || item.Score <= 0 {
			continue
		}
		v.Next = append(v.Next, nextSource{p, item.Count, int(min(100, 100*item.Score)), item.Last})
	}
	v.Rejected, err = c.appliance.Rejections(ctx, shownEvents)
	return err
}

func firstTrends(ts []trend) []trend { return ts[:min(len(ts), shownTop)] }

// problem is a sentence about what is wrong, Grave if blocks are not real.
type problem struct {
	Text  string
	Grave bool
}

// problems says what keeps the appliance from doing its work, or will.
func (s Status) problems() (found []problem) {
	add := func(when, grave bool, text string) {
		if when {
			found = append(found, problem{text, grave})
		}
	}
	enforcing := s.Mode == "enforce" && !s.Suspended
	const missing = " blocks are not enforced: table, set or rule is missing. `uppercut firewall verify` says which."
	add(s.Suspended && s.PausedUntil.IsZero(), true, "Blocking is suspended: an operator has flushed the table. `uppercut resume` starts it again.")
	add(s.Suspended && !s.PausedUntil.IsZero(), true, "Blocking is paused until "+clock(s.Now, s.PausedUntil)+". `uppercut resume` ends the pause earlier.")
	add(enforcing && !s.Enforcing.IPv4, true, "IPv4"+missing)
	add(enforcing && !s.Enforcing.IPv6, true, "IPv6"+missing)
	for _, check := range s.Checks {
		if check.Name != "senders" { // said below, in words for this page
			add(!check.OK, true, "Not ready: "+check.Name+": "+check.Problem)
		}
	}
	add(s.Reload.Error != "", false, "The configuration on disk was rejected; the old one is still in force. `uppercut check` says why.")
	add(s.HostsSeen == 0, false, "No mail host has logged since the start: there is nothing to judge.")
	add(s.HostsSilent > 0, false, countOf(s.HostsSilent, "mail host is", "mail hosts are")+" silent.")
	for _, r := range s.Refused {
		add(true, false, r.Sentence()+".")
	}
	add(s.SendersNotUnderstood > 0, true, capital(s.NotUnderstoodSentence())+": see Mail hosts.")
	add(s.HostsLosing > 0, false, s.LosingSentence()+": see Mail hosts.")
	add(s.BreakersOpen > 0, false, countOf(s.BreakersOpen, "breaker is", "breakers are")+" open.")
	return found
}

// capital begins a sentence.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// blockedWords names what is on the list: blocked only where packets are dropped.
func (s Status) blockedWords() string {
	switch {
	case s.Mode == "observe":
		return "Would be blocked"
	case s.Suspended:
		return "On the list"
	}
	return "Blocked now"
}

// calm is what the page says when nothing is wrong.
func (s Status) calm() string {
	switch {
	case s.Mode == "observe":
		return "Observing: blocks are decided and recorded, but no packet is dropped."
	case s.HostsSeen == 0:
		return "No mail host has logged yet."
	}
	return "OK: every block on the list is enforced."
}

// state is the appliance in a word, and a class for its colour.
func (s Status) state() (word, class string) {
	switch {
	case s.Suspended:
		return "suspended", "bad"
	case s.Mode == "":
		return "unknown", "bad"
	case s.Mode != "enforce":
		return "observing", "mild"
	case !s.Enforcing.IPv4 || !s.Enforcing.IPv6:
		return "not enforcing", "bad"
	case !s.Ready:
		return "not ready", "bad"
	}
	return "enforcing", "good"
}
