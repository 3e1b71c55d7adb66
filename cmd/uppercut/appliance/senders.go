package appliance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/metrics"
	"uppercut/receiver"
	"uppercut/receiver/header"
)

// What is known of those who send: who they are, what is made of their lines, and
// who is not heard. Receiver and detector know a part of it each.

// recently is for how long a refusal stands in the status.
const recently = time.Hour

// fewFrames is how many frames of a sender have to be unreadable, and none
// readable, before it is said that nothing of it is understood.
const fewFrames = 10

// Senders implements console.Reader.
func (a *Appliance) Senders(ctx context.Context) ([]console.Sender, error) {
	families, err := a.registry.Gather()
	if err != nil {
		return nil, err
	}
	heard, err := a.heard(ctx)
	if err != nil {
		return nil, err
	}
	list := a.senders(heard, families)
	for _, r := range a.receiver.Refusals() {
		list = append(list, refusedSender(r))
	}
	return list, nil
}

// refusedSender is the row of an address that is not heard.
func refusedSender(r receiver.Refusal) console.Sender {
	return console.Sender{
		Sender: r.Addr.String(), Transport: r.Transport.String(), Last: r.Last,
		Refused: &console.Refused{Reason: r.Reason, Why: r.Words(), Certificate: r.Name, First: r.First, Attempts: r.Attempts},
	}
}

// heard is what the detector knows of those who send.
type heard struct {
	breakers []detector.BreakerStatus
	lines    []detector.HostLines
}

func (a *Appliance) heard(ctx context.Context) (h heard, err error) {
	err = a.pipeline.ask(ctx, func(d *detector.Detector) {
		h.breakers, h.lines = d.Breakers(), d.HostLines()
	})
	return h, err
}

// senders lists the mail hosts with what n counts of them.
func (a *Appliance) senders(h heard, n counts) []console.Sender {
	lines := make(map[[2]string]detector.HostLines)
	for _, l := range h.lines {
		lines[[2]string{l.Sender, l.Host}] = l
	}
	open := make(map[string]bool)
	for _, b := range h.breakers {
		if b.Open {
			open[a.hosts.Label(b.Sender, b.Host)] = true
		}
	}
	list, now := []console.Sender{}, time.Now()
	rejections, accepted := n.byHost("uppercut_rejections_total"), n.byHost("uppercut_mail_accepted_total")
	for _, s := range a.receiver.Senders() {
		row := senderRow(s, lines[[2]string{s.Sender, s.Host}], now)
		row.Rejections, row.Accepted = uint64(rejections[s.Host]), uint64(accepted[s.Host])
		row.BreakerOpen = open[s.Host]
		list = append(list, row)
	}
	return list
}

// transportName is the transport as sender-config names it: RELP over TLS has a
// name of its own there.
func transportName(s receiver.SenderStatus) string {
	if s.Transport == receiver.RELP && s.Encrypted {
		return "relp-tls"
	}
	return s.Transport.String()
}

// senderRow is what receiver and detector know of one host at one sender.
func senderRow(s receiver.SenderStatus, l detector.HostLines, now time.Time) console.Sender {
	transport := ""
	if s.Sender != "" {
		transport = transportName(s)
	}
	row := console.Sender{
		Host: s.Host, Sender: s.Sender, Transport: transport, Last: s.LastMessage,
		Expected: s.Expected, Silent: s.Silent, Messages: s.Messages, Skew: console.Duration(s.Lag),
		Understood: l.Understood, NotUnderstood: l.Unknown, Foreign: l.Foreign, ForeignTag: l.LastTag, Unread: s.Refused,
		NothingUnderstood: l.NothingUnderstood(now) || s.Messages == 0 && s.Refused >= fewFrames,
		SourceLost:        l.Lost, SourceLosses: l.LostUntold, LastLoss: l.LastLoss, LossText: l.LossText,
		Advice: adviceOn(s),
	}
	if row.NothingUnderstood && row.Advice == "" {
		row.Advice = generalAdvice(row)
	}
	return row
}

// generalAdvice is for a sender of whose lines nothing is understood, and of which
// no more is known.
func generalAdvice(row console.Sender) string {
	switch {
	case row.Unread > row.Foreign+row.NotUnderstood:
		return "headers cannot be read: use the file of uppercut sender-config"
	case row.Foreign > row.NotUnderstood:
		return "no line has a tag of detector.tags: forward sendmail's lines, or add its tag"
	}
	return "see the page Not understood"
}

// adviceOn says what keeps the lines of a sender from being read.
func adviceOn(s receiver.SenderStatus) string {
	var advice []string
	if s.Refusal == string(header.ErrCompressed) {
		advice = append(advice, "it compresses, which is not supported: remove compression.mode and ZipLevel from rsyslog's action")
	}
	if s.WithheldHeaders > 0 {
		advice = append(advice, fmt.Sprintf("%s behind another header: if it is a relay, list it in receiver.relays", terminal.Plural(s.WithheldHeaders, "line")))
	}
	if s.WithheldTags > 0 {
		advice = append(advice, fmt.Sprintf("%s with sendmail's tag behind another tag: if that one wraps them, list it in receiver.wrapping_tags", terminal.Plural(s.WithheldTags, "line")))
	}
	return strings.Join(advice, "; ")
}

// countHosts fills in what is known of the mail hosts.
func (a *Appliance) countHosts(ctx context.Context, s *console.Status, n counts) error {
	heard, err := a.heard(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	seen, unseen, silent, open, losing := hostSet{}, hostSet{}, hostSet{}, hostSet{}, hostSet{}
	for _, sender := range a.senders(heard, n) {
		seen.add(sender.Host, !sender.Last.IsZero())
		unseen.add(sender.Host, sender.Sender == "")
		silent.add(sender.Host, sender.Silent)
		open.add(sender.Host, sender.BreakerOpen)
		losing.add(sender.Host, sender.Losing(now))
		if sender.NothingUnderstood {
			s.SendersNotUnderstood++
		}
	}
	s.HostsSeen, s.HostsUnseen, s.HostsSilent, s.BreakersOpen = len(seen), len(unseen), len(silent), len(open)
	s.HostsLosing = len(losing)
	s.Totals.NotUnderstood = a.receiver.Unread()
	for _, l := range heard.lines {
		s.Totals.NotUnderstood += l.Unknown
		s.Totals.Foreign += l.Foreign
		s.Totals.LostAtSource += l.Lost
	}
	s.Refused = countRefused(a.receiver.Refusals(), now)
	return nil
}

// countRefused counts the addresses that were refused lately, by what is wrong.
func countRefused(refusals []receiver.Refusal, now time.Time) []console.RefusedCount {
	addresses := make(map[string]int)
	for _, r := range refusals {
		if now.Sub(r.Last) < recently {
			addresses[r.Words()]++
		}
	}
	list := []console.RefusedCount{}
	for _, why := range slices.Sorted(maps.Keys(addresses)) {
		list = append(list, console.RefusedCount{Why: why, Addresses: addresses[why]})
	}
	return list
}

// hostSet counts hosts: one that logs through two senders is one.
type hostSet map[string]bool

func (s hostSet) add(host string, when bool) {
	if when {
		s[host] = true
	}
}

// understanding says of how many senders nothing is understood. Health checks and
// scrapes ask for it, which must not wait long for the judge: what was true a
// moment ago will do.
type understanding struct {
	mu               sync.Mutex
	at               time.Time
	senders, nothing int
}

const (
	understandingLife = 100 * time.Millisecond
	understandingWait = 500 * time.Millisecond
)

// understood counts the senders that have sent something and those of them of
// whose lines nothing is understood.
func (a *Appliance) understood() (senders, nothing int) {
	u := &a.understanding
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.at) < understandingLife {
		return u.senders, u.nothing
	}
	ctx, cancel := context.WithTimeout(context.Background(), understandingWait)
	defer cancel()
	heard, err := a.heard(ctx)
	u.at = time.Now()
	if err != nil {
		return u.senders, u.nothing
	}
	u.senders, u.nothing = 0, 0
	for _, s := range a.senders(heard, nil) {
		if s.Messages+s.Unread > 0 {
			u.senders++
		}
		if s.NothingUnderstood {
			u.nothing++
		}
	}
	return u.senders, u.nothing
}

// checkSenders tells when nothing is understood of what comes: then there is
// nothing to judge. That it is so of one sender is a warning.
func (a *Appliance) checkSenders() error {
	const remedy = "uppercut senders shows which and what they send; the runbook says what to do (UppercutNothingUnderstood)"
	senders, nothing := a.understood()
	switch nothing {
	case 0:
		return nil
	case senders:
		return fmt.Errorf("cannot understand anything from %s: %s", terminal.Plural(uint64(nothing), "sender"), remedy)
	default:
		return metrics.Warning(fmt.Sprintf("cannot understand anything from %d of %d senders: %s", nothing, senders, remedy))
	}
}
