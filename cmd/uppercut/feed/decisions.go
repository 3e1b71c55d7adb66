package feed

import (
	"errors"
	"io"
	"iter"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// What follows is the read side of CrowdSec's local API, as its bouncers use it
// (pkg/apiserver of crowdsec 1.7, and what cs-firewall-bouncer 0.0.25 and 0.0.35
// were seen to do with answers).

// foreverDuration is what a block without end is said to last.
const foreverDuration = 10 * 365 * 24 * time.Hour

// leastDuration is the shortest duration in an answer: a bouncer takes 0s for
// ever, and a negative one makes it lose the whole answer.
const leastDuration = time.Second

// maxMetrics bounds the body of a client's usage metrics, which nobody reads.
const maxMetrics = 1 << 20

// serveStream answers GET /v1/decisions/stream: the whole list at startup and to
// clients of whom it is not known what they have, else the changes since the
// client asked last.
func (f *Feed) serveStream(w http.ResponseWriter, r *http.Request, c *client) error {
	q := r.URL.Query()
	v := viewOf(c, q)
	start, _ := strconv.ParseBool(q.Get("startup"))
	cursor := f.cursors.of(cursorKey{c.name, remoteAddr(r), v.key()})
	if !cursor.mu.TryLock() {
		return tooMany{time.Second} // its last answer is still on its way
	}
	defer cursor.mu.Unlock()
	if start {
		cursor.forget()
	}
	from := cursor.from(connectionOf(r))
	d, now, ok := f.mirror.since(from.number)
	if !from.known || !ok {
		return f.streamWhole(w, r, c, v, cursor)
	}
	out := newWriter(w)
	out.text(`{"new":[`)
	out.decisions(v, slices.Values(pointers(d.fresh)), time.Now())
	out.text(`],"deleted":[`)
	out.deletions(v, d.gone)
	out.text("]}\n")
	return cursor.sent(now, connectionOf(r), out.flush())
}

// streamWhole answers with the whole list, and with what is no more: who has been
// away may still have it.
func (f *Feed) streamWhole(w http.ResponseWriter, r *http.Request, c *client, v *view, cursor *cursor) error {
	if wait := c.pace.admitWhole(time.Now()); wait > 0 {
		return tooMany{wait}
	}
	f.metrics.whole.WithLabelValues(c.name).Inc()
	now := f.mirror.now() // what changes from here on comes again
	out := newWriter(w)
	out.text(`{"deleted":[`)
	out.deletions(v, f.mirror.departures())
	out.text(`],"new":[`)
	out.decisions(v, f.mirror.all(), time.Now())
	out.text("]}\n")
	return cursor.sent(now, connectionOf(r), out.flush())
}

// serveDecisions answers GET /v1/decisions: what holds for one address or
// network, or the whole list; null for nothing, as CrowdSec has it.
func (f *Feed) serveDecisions(w http.ResponseWriter, r *http.Request, c *client) error {
	q := r.URL.Query()
	v := viewOf(c, q)
	asked, err := askedFor(q.Get("ip"), q.Get("range"), q.Get("value"))
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/json")
		return nil
	}
	entries := f.mirror.all()
	if asked.IsValid() {
		found := f.mirror.covering(asked)
		if q.Get("contains") == "false" {
			found = f.within(asked)
		}
		entries = slices.Values(pointers(found))
	} else if wait := c.pace.admitWhole(time.Now()); wait > 0 {
		return tooMany{wait}
	}
	out := newWriter(w)
	out.open = `[`
	out.decisions(v, entries, time.Now())
	if out.open != "" {
		out.open = ""
		out.text("null\n")
	} else {
		out.text("]\n")
	}
	return out.flush()
}

// within returns the entries within a network.
func (f *Feed) within(p netip.Prefix) (found []record) {
	for r := range f.mirror.all() {
		if r.prefix.Bits() >= p.Bits() && p.Contains(r.prefix.Addr()) {
			found = append(found, *r)
		}
	}
	return found
}

// errBadQuery is the client's mistake.
var errBadQuery = errors.New("not an address or a network")

// askedFor reads the address or network that a client asks about; the zero value
// if it names none.
func askedFor(texts ...string) (netip.Prefix, error) {
	for _, text := range texts {
		if text == "" {
			continue
		}
		if a, err := netip.ParseAddr(text); err == nil {
			a = a.Unmap().WithZone("")
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, errBadQuery
		}
		return p.Masked(), nil
	}
	return netip.Prefix{}, nil
}

// serveUsage takes the metrics that bouncers send, and forgets them.
func (f *Feed) serveUsage(w http.ResponseWriter, r *http.Request, _ *client) error {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxMetrics)); err != nil {
		return errBadQuery
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return nil
}

func pointers(records []record) []*record {
	out := make([]*record, len(records))
	for i := range records {
		out[i] = &records[i]
	}
	return out
}

// decisions writes entries as JSON, separated by commas. What ends within a
// second is left out.
func (o *writer) decisions(v *view, entries iter.Seq[*record], now time.Time) {
	for r := range entries {
		left := foreverDuration
		if r.until != math.MaxInt64 {
			left = time.Duration(r.until - now.UnixNano())
		}
		if left < leastDuration {
			continue
		}
		for value := range v.of(r) {
			if !o.decision(v, value, left) {
				return
			}
		}
	}
	o.first = true
}

// deletions writes entries that are no more, each value once. CrowdSec gives them
// negative durations.
func (o *writer) deletions(v *view, entries []record) {
	told := make(map[netip.Prefix]struct{}, len(entries))
	for i := range entries {
		for value := range v.of(&entries[i]) {
			if _, twice := told[value.prefix]; twice {
				continue
			}
			told[value.prefix] = struct{}{}
			if !o.decision(v, value, -time.Second) {
				return
			}
		}
	}
	o.first = true
}

// decision writes one with every field: bouncers were seen to end themselves over
// one that is missing.
func (o *writer) decision(v *view, d value, left time.Duration) bool {
	if !o.first {
		o.buffer = append(o.buffer, ',')
	}
	o.text("")
	o.first = false
	b := append(o.buffer, `{"id":`...)
	b = strconv.AppendUint(b, d.id, 10)
	b = append(b, `,"uuid":"uppercut-`...)
	b = strconv.AppendUint(b, d.id, 10)
	b = append(b, `","origin":"`+origin+`","scenario":`...)
	b = append(b, v.scenario(d.rule)...)
	b = append(b, `,"scope":"`...)
	b = append(b, d.scope()...)
	b = append(b, `","type":"ban","value":"`...)
	if d.prefix.IsSingleIP() {
		b = d.prefix.Addr().AppendTo(b)
	} else {
		b = d.prefix.AppendTo(b)
	}
	b = append(b, `","duration":"`...)
	b = append(b, left.Truncate(time.Millisecond).String()...)
	o.buffer = append(b, `"}`...)
	return o.room()
}
