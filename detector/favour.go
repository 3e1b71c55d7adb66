package detector

import (
	"slices"

	"uppercut/detector/offence"
)

// What speaks for a source is kept as marks whose weight is a number of
// messages and whose origin says what they were.
const (
	acceptedMail = iota
	deliveredMail
)

// favour remembers messages in favour of a source.
func (d *Detector) favour(s *source, second uint32, kind uint16) {
	message := mark{second: second, weight: 1, origin: kind}
	known := d.sources.favours(s)
	if len(known) > 0 {
		newest := &known[len(known)-1]
		if newest.second == second && newest.origin == kind && newest.merge(&message) {
			return // as most mail of a busy relay: nothing has to be moved
		}
		if d.appendFavour(s, known, message) {
			return
		}
	}
	list := append(d.scratch[:0], known...)
	list = insert(list, message)
	list = forget(list, seconds(longestWindow))
	for limit := d.markLimit(); len(list) > limit; {
		list = mergeFavours(list)
	}
	d.sources.setFavours(s, list)
	d.scratch = list
}

// appendFavour adds a message that is newer than all of a source if its block has
// room and no favour is too old: then nothing else changes.
func (d *Detector) appendFavour(s *source, known []mark, m mark) bool {
	if n := len(known); n == 1<<s.favourClass || n >= d.markLimit() ||
		known[n-1].second >= m.second || m.second-known[0].second >= seconds(longestWindow) {
		return false
	}
	d.sources.appendFavour(s, m)
	return true
}

// mergeFavours makes room in a full list: two marks of a kind become one with
// the time of the newer, so that favour lasts rather too long.
func mergeFavours(list []mark) []mark {
	i, j, ok := closest(list, allOrigin)
	if !ok {
		return slices.Delete(list, 0, 1)
	}
	list[j].merge(&list[i])
	return slices.Delete(list, i, i+1)
}

// standing is what speaks for a source at some time.
type standing struct {
	credit points // what its mail is worth in a rule's window
	// partner: so much was accepted from it that one session does not block it.
	// known: something was. current: within the longest window of the rules.
	partner, known, current bool
}

// standing returns what speaks for a source in the window of a rule that ends
// with the second end.
func (d *Detector) standing(r *rule, s *source, end uint32) (is standing) {
	accepted := 0
	favours := d.sources.favours(s)
	for i := range favours {
		m := &favours[i]
		if m.second > end || end-m.second >= seconds(longestWindow) {
			continue
		}
		if m.origin == acceptedMail {
			accepted += int(m.weight)
			is.current = is.current || end-m.second < d.judgement.longestWindow
		}
		if end-m.second < r.window {
			is.credit += points(m.weight) * d.judgement.credit[m.origin]
		}
	}
	is.partner, is.known = accepted >= d.judgement.partner, accepted > 0
	return is
}

// accepted counts the messages accepted from a source in the 7 days before the
// second end.
func (d *Detector) accepted(s *source, end uint32) int {
	n, _ := d.mail(s, end)
	return n
}

// mail counts the messages from and to a source in the 7 days before end.
func (d *Detector) mail(s *source, end uint32) (accepted, delivered int) {
	favours := d.sources.favours(s)
	for i := range favours {
		switch m := &favours[i]; {
		case m.second > end || end-m.second >= seconds(longestWindow):
		case m.origin == acceptedMail:
			accepted += int(m.weight)
		default:
			delivered += int(m.weight)
		}
	}
	return accepted, delivered
}

// capped returns what an offence adds, given what its session has earned.
func (j *judgement) capped(list []mark, m mark) uint16 {
	reason := m.reason()
	most := points(maxWeight)
	if limit := j.caps[reason]; limit > 0 {
		most = limit - min(limit, earned(list, m.session, reasons(reason)))
	}
	if inTotal := allReasons &^ attackerOnly &^ outsideTotal; j.sessionTotal > 0 && inTotal.has(reason) {
		most = min(most, j.sessionTotal-min(j.sessionTotal, earned(list, m.session, inTotal)))
	}
	return uint16(min(points(m.weight), most))
}

// outsideTotal: a trap is as good as proof by itself, so that the total of a
// session leaves it out.
var outsideTotal = reasons(offence.RcptTrap)

// earned adds up what a session has scored by some reasons.
func earned(list []mark, session uint16, of reasonSet) (p points) {
	for i := range list {
		if list[i].session == session && of.has(list[i].reason()) {
			p += points(list[i].weight)
		}
	}
	return p
}
