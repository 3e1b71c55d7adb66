package detector

import (
	"math"
	"math/bits"
	"time"

	"uppercut/detector/offence"
)

// decide looks whether a source is to be blocked after an offence at a second.
func (d *Detector) decide(number uint32, l *Line, e *offence.Event, h *host, second uint32) {
	s := d.sources.at(number)
	f, fired := d.fires(s, second)
	if !fired {
		return
	}
	p := &pending{
		prefix: s.prefix(), rule: f.rule, end: f.end, at: fromSecond(f.end),
		received: l.Received, score: f.score, host: h, reporter: h.witness, attacker: f.attacker,
	}
	p.hosts, p.alone = d.witnesses(f.rule, d.sources.offences(s), f.end, d.accepted(s, f.end) > 0)
	if f.end == second {
		p.at = e.Time
	}
	// Not by d.now: one host whose clock is ahead would end all blocks of a replay.
	if until := p.until(d.duration(s, p)); until <= unixSecond(l.Received) {
		s.until = until
		d.metrics.ranOut.Inc()
		return
	}
	if d.exempt(s, p) {
		return
	}
	if now := unixSecond(d.now); !d.passes(p, now) && !d.admit(p.reporter, now) {
		d.wait(number, p)
		return
	}
	d.ceiling.drop(p.prefix)
	d.block(number, p)
}

// wait puts a decision behind the ceiling.
func (d *Detector) wait(number uint32, p *pending) {
	s := d.sources.at(number)
	if s.flags&waiting == 0 {
		d.metrics.heldBack.Inc()
	}
	s.flags |= waiting
	d.sources.touch(number, d.sources.guilt(s))
	d.ceiling.put(p)
	if lost := d.ceiling.overflow(); lost != nil {
		d.metrics.lost.Inc()
		if number := d.sourceAt(lost.prefix); number != 0 {
			d.sources.at(number).flags &^= waiting
		}
	}
	d.metrics.waiting.Set(float64(len(d.ceiling.waiting)))
}

// sentence carries out a decision that has waited.
func (d *Detector) sentence(p *pending, now uint32) {
	if d.pardoned(p.prefix) {
		return
	}
	key := d.sources.key(p.prefix)
	number := d.sources.find(&key)
	if number == 0 {
		number = d.add(&key)
	}
	s := d.sources.at(number)
	s.flags &^= waiting
	d.sources.touch(number, d.sources.guilt(s))
	if p.until(d.duration(s, p)) <= now {
		d.metrics.ranOut.Inc()
		return
	}
	if d.hosts.everAside {
		if _, fires := d.fires(s, p.end); !fires {
			return // a breaker has opened meanwhile
		}
	}
	if !d.exempt(s, p) && d.admit(p.reporter, now) {
		d.block(number, p)
	}
}

// until returns when a block of so many seconds ends: it counts from the
// offence, and a clock that is ahead does not make it longer.
func (p *pending) until(duration uint32) uint32 {
	return min(p.end, unixSecond(p.received)) + duration
}

// duration returns for how long a decision blocks its source: longer each
// time, up to a limit, unless it was clean for long enough.
func (d *Detector) duration(s *source, p *pending) uint32 {
	if s.blocks == 0 || d.forgiven(s, p.end) {
		return p.rule.block
	}
	grown := float64(p.rule.block) * math.Pow(d.judgement.repeat.Factor, float64(s.blocks))
	return max(p.rule.block, uint32(min(grown, float64(seconds(d.judgement.repeat.Max)))))
}

// forgiven tells that a source was clean for so long that its blocks do not
// count any more.
func (d *Detector) forgiven(s *source, now uint32) bool {
	return now >= s.until && now-s.until >= seconds(d.judgement.repeat.Forget)
}

// exempt asks whether a decision may not be carried out. Each source counts
// once for as long as it stays so.
func (d *Detector) exempt(s *source, p *pending) bool {
	cause := ""
	if d.options.Exempt != nil {
		cause = d.options.Exempt(p.prefix)
	}
	if cause == "" {
		s.flags &^= refused
		return false
	}
	if s.flags&refused == 0 {
		s.flags |= refused
		d.metrics.suppress(cause)
		n := p.host.notice(Exempted)
		n.Prefix, n.Cause, n.Rule, n.Score = p.prefix, cause, p.rule.name, p.score.float()
		d.notice(n)
	}
	return true
}

// block makes a decision a verdict.
func (d *Detector) block(number uint32, p *pending) {
	s := d.sources.at(number)
	until := p.until(d.duration(s, p))
	if d.forgiven(s, p.end) {
		s.blocks = 0
	}
	s.until = until
	s.blocks += uint8(1 - s.blocks/math.MaxUint8)
	s.flags &^= waiting
	if d.options.Blocked != nil {
		d.fresh[number] = unixSecond(d.now)
	}
	d.sources.touch(number, d.sources.guilt(s))
	d.verdicts = append(d.verdicts, Verdict{
		Prefix: p.prefix, At: p.at, Received: p.received, Until: fromSecond(until),
		Rule: p.rule.name, Score: p.score.float(), Hosts: p.hosts, Witness: p.witness(), Evidence: d.evidence(s),
	})
	d.metrics.verdicts[p.rule.name].Inc()
	if d.accepted(s, p.end) > 0 {
		d.mayTakeBack(p)
	}
	d.neighbours(p, until)
}

// guilt returns the level of a source: what it would cost to forget it. What
// anybody can have done by mistake is the lowest, from there each level is twice
// the one below. Mail in favour of a source weighs like offences, because without
// it an honest relay could be blocked.
func (t *table) guilt(s *source) uint8 {
	level := bits.Len32(uint32(sum(t.offences(s)) / innocence))
	level = max(level, bits.Len32(uint32(sum(t.favours(s)))))
	if s.blocks > 0 || s.flags&waiting != 0 {
		level = max(level, blockedLevel)
	}
	return uint8(min(level, levels-1))
}

const (
	innocence    = 3 * pointUnit
	blockedLevel = 6 // a block is worth a hundred points
)

func unixSecond(t time.Time) uint32 { return uint32(max(0, min(t.Unix(), math.MaxUint32))) }
