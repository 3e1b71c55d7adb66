package appliance

import (
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/outbox"
	"uppercut/detector"
	"uppercut/enforcer"
)

// What happens goes to open pages, to the webhook and to syslog. None of what
// is here waits: it is called on the way of a log line.

// publish shows an event on open pages, with more in words, and sends it out.
func (a *Appliance) publish(e outbox.Event, text string) {
	a.events.Publish(e)
	a.console.Publish(console.Event{
		Time: e.Time, Kind: e.Kind, Prefix: e.Prefix, Rule: e.Rule, Reason: e.Reason, Host: e.Host, Text: text,
	})
}

// blocked hears from the enforcer of a block that is on the list: in force unless
// the firewall is suspended or cannot be written.
func (a *Appliance) blocked(b enforcer.Block) {
	e := blockEvent(outbox.Block, b)
	for _, line := range b.Evidence {
		e.Evidence = append(e.Evidence, outbox.Evidence{Time: line.Time, Host: line.Host, Reason: line.Reason, Text: line.Text})
	}
	e.Author, e.Note = b.Author, b.Note
	a.publish(e, b.Note)
}

// unblocked hears from the enforcer of the end of a block.
func (a *Appliance) unblocked(u enforcer.Unblock) {
	e := blockEvent(outbox.Unblock, u.Block)
	e.Cause, e.Author, e.Note = u.Cause, u.By, u.Why
	a.publish(e, u.Cause)
}

func blockEvent(kind outbox.Kind, b enforcer.Block) outbox.Event {
	until := b.Until
	if b.Permanent() {
		until = time.Time{}
	}
	return outbox.Event{
		Time: time.Now(), Kind: kind, Prefix: b.Prefix, Block: b.ID, Until: until, Rule: b.Rule, Score: b.Score,
		Reason: b.Reason, Host: b.Host, Observed: b.Observed,
	}
}

// notice logs what the detector has to say and tells of it.
func (a *Appliance) notice(n detector.Notice) {
	e := outbox.Event{Time: time.Now(), Cause: n.Cause}
	switch n.Kind {
	case detector.ZoneLearned:
		a.logger.Warn("time zone learned from log lines; configure it under detector.zones",
			"sender", n.Sender, "host", n.Host, "offset", n.Offset)
	case detector.SeveralNames:
		a.logger.Warn("sender uses several host names but counts as one host; if it relays the logs of other hosts, list it in receiver.relays",
			"sender", n.Sender)
	case detector.OverLimit:
		a.logger.Warn("mail host alone causes more blocks a minute than detector.ceiling.host_passes allows; further blocks are delayed", "witness", n.Host)
	case detector.BreakerOpened:
		a.logger.Warn("breaker opened", "sender", n.Sender, "host", n.Host, "cause", n.Cause)
		e.Kind, e.State, e.Host = outbox.Breaker, "open", a.hosts.Label(n.Sender, n.Host)
		a.publish(e, "opened: "+breakerWords(n.Cause))
	case detector.BreakerClosed:
		a.logger.Info("breaker closed", "sender", n.Sender, "host", n.Host)
		e.Kind, e.State, e.Host = outbox.Breaker, "closed", a.hosts.Label(n.Sender, n.Host)
		a.publish(e, "closed")
	case detector.Exempted:
		a.logger.Info("not blocked", "prefix", n.Prefix, "cause", n.Cause, "rule", n.Rule, "score", n.Score)
		e.Kind, e.Prefix, e.Rule, e.Score = outbox.Guard, n.Prefix, n.Rule, n.Score
		a.publish(e, n.Cause)
	}
}
