package feed

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// serveText answers GET /lists/blocked.txt: an address or a network on each line.
func (f *Feed) serveText(w http.ResponseWriter, r *http.Request, c *client) error {
	comments := r.URL.Query().Get("comments") != "off"
	return f.serveList(w, r, c, "text/plain; charset=utf-8", func(out *writer, entries listing) {
		if comments {
			out.text("# blocked by uppercut; address or network, rule, end\n")
		}
		for v := range entries {
			out.text(v.String())
			if comments {
				out.text(" # " + plain(v.rule) + " " + v.end())
			}
			out.text("\n")
			if !out.room() {
				return
			}
		}
	})
}

// serveJSON answers GET /lists/blocked.json.
func (f *Feed) serveJSON(w http.ResponseWriter, r *http.Request, c *client) error {
	return f.serveList(w, r, c, "application/json", func(out *writer, entries listing) {
		out.text(`{"blocked":[`)
		for v := range entries {
			if !out.first {
				out.text(",")
			}
			out.first = false
			out.text("\n" + `{"prefix":"` + v.prefix.String() + `","rule":` + strconv.Quote(plain(v.rule)))
			if v.until != math.MaxInt64 {
				out.text(`,"until":"` + v.end() + `"`)
			}
			out.text("}")
			if !out.room() {
				return
			}
		}
		out.text("\n]}\n")
	})
}

// listing yields what stands in a list.
type listing func(yield func(value) bool)

// serveList answers with a list, or with 304 if the client has it already. The
// tag names the state of the copy, this process and the view.
func (f *Feed) serveList(w http.ResponseWriter, r *http.Request, c *client, contentType string, write func(*writer, listing)) error {
	v := viewOf(c, nil)
	family := r.URL.Query().Get("family")
	tag := fmt.Sprintf(`W/"%s-%d-%t"`, f.run, f.mirror.now(), c.single)
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if matches(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if wait := c.pace.admitWhole(time.Now()); wait > 0 {
		return tooMany{wait}
	}
	h.Set("Content-Type", contentType)
	if r.Method == http.MethodHead {
		return nil
	}
	out := newWriter(w)
	write(out, func(yield func(value) bool) {
		for entry := range f.mirror.all() {
			for one := range v.of(entry) {
				if inFamily(one.prefix, family) && !yield(one) {
					return
				}
			}
		}
	})
	return out.flush()
}

// inFamily reports whether p is of the family that a query asks for: 4, 6 or all.
func inFamily(p netip.Prefix, family string) bool {
	switch family {
	case "4":
		return p.Addr().Is4()
	case "6":
		return p.Addr().Is6()
	}
	return true
}

// matches reports whether If-None-Match names a tag (RFC 9110, section 13.1.2).
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// end is when a block ends, as text.
func (v value) end() string {
	if v.until == math.MaxInt64 {
		return "forever"
	}
	return time.Unix(0, v.until).UTC().Format(time.RFC3339)
}

// plain makes text from the configuration harmless in a list of any form.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`"\#;,<>&`, r) {
			return '_'
		}
		return r
	}, text)
}
