package detector

// Hosts that share a resolver or a map go wrong together, and in a small fleet
// none of them may have enough correspondents for its own breaker. fleet looks at
// all hosts as one.
type fleet struct {
	refused map[uint64]turned // sources with accepted mail, by hash
	checked uint32            // second of the last look
	window  uint32            // the five minutes of accepted[1]
	// accepted are the sources whose mail was taken in the last five minutes and
	// in those before.
	accepted [2]sketch
}

// leastOfFleet is how many sources a host must have refused of those that the
// fleet as a whole refuses, for its own breaker to open.
const leastOfFleet = 2

// turned is when a source was refused last, and by whom.
type turned struct {
	second uint32
	host   *host
}

// accepts notes that a source's mail was taken by some host.
func (f *fleet) accepts(hash uint64, second uint32) {
	switch window := second / breakerWindow; {
	case window == f.window+1:
		f.accepted[0], f.accepted[1], f.window = f.accepted[1], sketch{}, window
	case window > f.window:
		f.accepted, f.window = [2]sketch{}, window
	}
	f.accepted[1].add(hash)
	if len(f.refused) > 0 {
		delete(f.refused, hash)
	}
}

// forget forgets whom the host of a breaker has refused.
func (f *fleet) forget(b *breaker) {
	for hash, t := range f.refused {
		if t.host.breaker == b {
			delete(f.refused, hash)
		}
	}
}

// heard estimates of how many sources with accepted mail hosts took mail lately.
func (f *fleet) heard(now uint32) (n float64) {
	switch now / breakerWindow {
	case f.window:
		return max(f.accepted[0].estimate(), f.accepted[1].estimate())
	case f.window + 1:
		return f.accepted[1].estimate()
	}
	return 0
}

// recent returns how many sources with accepted mail a host has refused last, and
// heard of, within five minutes; for one that hears of many, at the last look.
func (b *breaker) recent(now uint32) (refusing, heard int) {
	if b.contacts.count > fewContacts {
		return b.refusing, b.heard
	}
	for _, c := range b.contacts.all() {
		if now-min(now, c.heard()) < breakerWindow {
			heard++
			refusing += c.refusals()
		}
	}
	return refusing, heard
}

// refusedByAll notes that a source with accepted mail was refused, and opens the
// breakers of the hosts that refuse such sources if the fleet as a whole does.
func (d *Detector) refusedByAll(h *host, key *sourceKey, second uint32) {
	f, c := &d.fleet, d.judgement.breaker
	if f.refused == nil {
		f.refused = map[uint64]turned{}
	}
	if len(f.refused) < maxContacts {
		f.refused[key.hash] = turned{second, h}
	}
	if len(f.refused) < c.Sources || len(f.refused) > fewContacts && f.checked == second {
		return
	}
	f.checked = second
	refusing := map[*host]int{}
	for hash, t := range f.refused {
		if second-min(second, t.second) >= breakerWindow || t.host.forgotten() {
			delete(f.refused, hash)
			continue
		}
		refusing[t.host]++
	}
	if n := len(f.refused); !c.tooMany(n, n+int(f.heard(second))) {
		return
	}
	for x, n := range refusing {
		if own, heard := x.breaker.recent(second); n >= leastOfFleet && float64(own) >= c.Share*float64(heard) {
			d.trip(x.breaker, x, breakerPartners, second-min(second, breakerWindow))
		}
	}
}
