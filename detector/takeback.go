package detector

import "net/netip"

// maxDecided bounds the blocks of sources with accepted mail that can be taken
// back. There are few: what nearly all who are blocked have sent is nothing.
const maxDecided = 1 << 16

// mayTakeBack remembers a block of a source with accepted mail, for the case that
// what it stands on is set aside: when the deciding offence was.
func (d *Detector) mayTakeBack(p *pending) {
	if len(d.decided) >= maxDecided {
		d.forgetDecided()
	}
	if len(d.decided) < maxDecided {
		d.decided[p.prefix] = p.end
	}
	d.metrics.decided.Set(float64(len(d.decided)))
}

// forgetDecided forgets blocks that are over.
func (d *Detector) forgetDecided() {
	now := unixSecond(d.now)
	for prefix := range d.decided {
		if number := d.sourceAt(prefix); number == 0 || d.sources.at(number).until <= now {
			delete(d.decided, prefix)
		}
	}
}

// takeBack gives a verdict on the blocks that would not be made now that the
// breaker of a host has opened. They are those of sources with accepted mail:
// nobody else is known to be a correspondent.
func (d *Detector) takeBack(h *host) {
	d.forgetDecided()
	v := Verdict{At: d.now, Sender: h.sender.name, Host: h.name}
	for prefix, end := range d.decided {
		number := d.sourceAt(prefix)
		s := d.sources.at(number)
		if _, fires := d.fires(s, end); fires {
			continue
		}
		d.disown(s, end)
		delete(d.fresh, number)
		delete(d.decided, prefix)
		v.Lift = append(append(v.Lift, prefix), d.takeBackNetwork(prefix)...)
	}
	d.metrics.decided.Set(float64(len(d.decided)))
	if len(v.Lift) == 0 {
		return
	}
	d.metrics.takenBack.Add(float64(len(v.Lift)))
	d.verdicts = append(d.verdicts, v)
}

// takeBackNetwork returns as what the network of a source was blocked, if too few
// of it are blocked now.
func (d *Detector) takeBackNetwork(source netip.Prefix) (parts []netip.Prefix) {
	around, ok := networkOf(source)
	n := d.networks[around]
	if !ok || n == nil || n.until <= unixSecond(d.now) || len(n.blocked) >= d.judgement.neighbourhood.least(source) {
		return nil
	}
	parts, n.parts, n.until = n.parts, nil, 0
	return parts
}
