package sendmail

import (
	"slices"
	"strings"

	"uppercut/detector/offence"
)

// routeSlack is how much longer than a line another one has to be, in bytes, to
// show that the line was not cut. A cut is counted over a frame and what is known
// here is its text: headers differ by the width of PRI, time, host and sequence
// number.
const routeSlack = 32

// Limits of what is remembered of routes.
const (
	maxRoutes  = 1 << 16
	maxWaiting = 256 // sessions of a route that wait for a longer line
	maxTears   = 8
)

// route is the way that the lines of a mail host take to here: who sends them, of
// which host, over which transport. Whoever cuts a line on it cuts every one that
// is longer than some limit, so a line that is clearly shorter than another that
// has come was not cut.
type route struct {
	// longest is the length of the longest line, in bytes.
	longest int
	// tears are the lengths of the last lines that were seen to have lost their
	// end. A relay that is reached in two ways has two limits.
	tears [maxTears]int
	next  int
	// waiting are the keys of sessions in which a line waits to be proven whole.
	waiting []uint64
}

// lastRoute is a route that was asked for lately.
type lastRoute struct {
	key   uint64
	route *route
}

// routeOf returns the route of a line.
func (m *Memory) routeOf(in *Input) *route {
	key := uint64(in.Host) ^ uint64(in.Transport)*0x9e3779b97f4a7c15
	last := &m.lastRoutes[key%uint64(len(m.lastRoutes))]
	if last.route != nil && last.key == key {
		return last.route
	}
	r := m.routes[key]
	if r == nil {
		if len(m.routes) >= maxRoutes {
			clear(m.routes) // lines count as cut until a longer one has come again
			m.lastRoutes = [len(m.lastRoutes)]lastRoute{}
		}
		r = new(route)
		m.routes[key] = r
	}
	*last = lastRoute{key, r}
	return r
}

// lineLength is how long a line is, in bytes, but for what stands before the tag.
func lineLength(in *Input) int { return len(in.Record.Text) + in.Tag + digits(in.PID) }

// maxDigits is the most decimal digits that a PID can have.
const maxDigits = len("4294967295")

// digits is how many decimal digits a PID has, 0 for none.
func digits(pid uint32) (n int) {
	for power := uint64(1); uint64(pid) >= power; power *= 10 {
		n++
	}
	return n
}

// travel notes how long a line is that has come over the route. It reports
// whether lines that wait may be proven by that.
func (r *route) travel(in *Input) bool {
	if in.Record.torn {
		r.tear(lineLength(in))
	}
	// Nearly all lines end here: their text is not looked at, for it is far from
	// the processor.
	if in.Tag+maxDigits+len(in.Record.Body) <= r.longest || in.Cut {
		return false
	}
	head := in.Tag + digits(in.PID)
	if head+len(in.Record.Body) <= r.longest {
		return false
	}
	n := head + leastLength(in.Record.Body)
	if n <= r.longest {
		return false
	}
	r.longest = n
	return len(r.waiting) > 0
}

// tear notes how long a line is that has lost its end.
func (r *route) tear(length int) {
	r.tears[r.next] = length
	r.next = (r.next + 1) % maxTears
}

// whole says whether a line of that length cannot have been cut.
func (r *route) whole(length int) bool {
	return length+routeSlack < r.longest && !r.tornAt(length)
}

// tornAt says whether lines of about that length have lost their ends.
func (r *route) tornAt(length int) bool {
	return r.tears[0] != 0 && slices.ContainsFunc(r.tears[:], func(tear int) bool {
		return tear != 0 && tear-routeSlack < length && length < tear+routeSlack
	})
}

// cutsAt says whether it looks as if everything longer than that were cut.
func (r *route) cutsAt(length int) bool {
	return r.tornAt(length) && length+routeSlack >= r.longest
}

// leastLength is how long a text was at least before whoever passed it on
// escaped bytes of it: "#033", "\033", "\x1b", UTF-8 for Latin-1.
func leastLength(s string) (n int) {
	if isPlain(s) {
		return len(s) // as nearly always
	}
	for i := 0; i < len(s); n++ {
		width := 1
		switch c := s[i]; {
		case c == '\\', c == '#':
			width = escapeWidth(s[i:])
		case c >= 0x80:
			for i+width < len(s) && s[i+width]&0xc0 == 0x80 {
				width++
			}
		}
		i += width
	}
	return n
}

// isPlain tells that a text is of ASCII without what begins an escaped byte. It
// looks at eight bytes at once: every line comes through here.
func isPlain(s string) bool {
	if strings.IndexByte(s, '\\') >= 0 || strings.IndexByte(s, '#') >= 0 {
		return false
	}
	for ; len(s) >= 8; s = s[8:] {
		word := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if word&0x8080808080808080 != 0 {
			return false
		}
	}
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// escapeWidth returns the length of what may be one byte escaped at the start of
// s.
func escapeWidth(s string) int {
	switch {
	case len(s) >= 4 && isOctal(s[1]) && isOctal(s[2]) && isOctal(s[3]):
		return 4
	case len(s) >= 4 && s[1] == 'x':
		return 4
	case len(s) >= 2 && s[0] == '\\':
		return 2
	}
	return 1
}

// wait notes that a line waits in the session with a key to be proven whole.
func (m *Memory) wait(r *route, key uint64) {
	if n := len(r.waiting); n > 0 && r.waiting[n-1] == key {
		return
	}
	if len(r.waiting) >= maxWaiting {
		r.waiting = slices.DeleteFunc(r.waiting, func(key uint64) bool { return !m.waits(r, key) })
	}
	if len(r.waiting) < maxWaiting {
		r.waiting = append(r.waiting, key)
	}
}

// waits says whether a line in the session with a key waits for the route.
func (m *Memory) waits(r *route, key uint64) bool {
	s := m.sessions.find(key)
	return s != nil && s.extras != 0 && slices.ContainsFunc(m.sessions.extrasOf(s).held, func(h held) bool {
		return h.route == r && h.needsRoute()
	})
}

// prove gives out what waited for a line as long as the one that has just come
// over the route.
func (m *Memory) prove(r *route, dst []offence.Event) []offence.Event {
	for _, key := range r.waiting {
		if s := m.sessions.find(key); s != nil && s.extras != 0 {
			dst = m.proveSession(s, func(h *held) bool { return h.route == r && h.needsRoute() && r.whole(h.length) }, dst)
		}
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(key uint64) bool { return !m.waits(r, key) })
	return dst
}

// proveSession gives out the lines of a session that are proven by now, and binds
// it to the client that they name.
func (m *Memory) proveSession(s *session, proven func(*held) bool, dst []offence.Event) []offence.Event {
	if s.is(inConflict) || s.is(doubted) {
		return dst
	}
	x := m.sessions.extrasOf(s)
	kept := x.held[:0]
	client := noAddr
	for i := range x.held {
		ready := proven(&x.held[i])
		switch h := x.held[i]; {
		case !ready:
			kept = append(kept, h)
		case !h.hasID:
			dst = append(dst, m.giveOut(s, h))
		case !client.IsValid() || client == h.claim:
			client = h.claim
			dst = append(dst, m.giveOut(s, h))
		default: // the first is as good as this one
			h.claim = noAddr
			kept = append(kept, h)
		}
	}
	clear(x.held[len(kept):])
	x.held = kept
	if client.IsValid() && !s.is(hasClient) {
		s.bind(client, false)
		return m.flush(s, &Record{}, dst)
	}
	m.sessions.settle(s)
	return dst
}

// giveOut returns the event of a line that is held no longer, for it has proven
// its client itself.
func (m *Memory) giveOut(s *session, h held) offence.Event {
	m.stats.Held--
	m.stats.HeldBytes -= len(h.event.Raw)
	e := h.event
	e.Addr, e.Session, e.ViaSession = h.claim, s.number, false
	return e
}
