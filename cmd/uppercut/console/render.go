package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed pages
var pageFiles embed.FS

// templates hold one set for each page: the layout, the parts and the page.
var templates = parseTemplates("overview", "blocks", "address", "senders", "samples", "guards", "audit", "config", "confirm", "message")

func parseTemplates(names ...string) map[string]*template.Template {
	base := template.Must(template.New("").Funcs(words).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	sets := make(map[string]*template.Template, len(names))
	for _, name := range names {
		sets[name] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return sets
}

// frame is what every page needs besides its own content.
type frame struct {
	Title  string
	Page   string // which entry of the navigation is current
	User   string
	Status Status
	// Trusted callers see evidence and may act; the others read why not.
	Trusted bool
	Why     string
	Now     time.Time
	Body    any
}

// show renders a page. The content has been asked for by now, so that an error
// can still become a status.
func (c *Console) show(w http.ResponseWriter, r *http.Request, status int, name, title string, body any) {
	s, err := c.pageStatus(r.Context())
	if err != nil {
		c.logger.Error("page without status", "error", err)
	}
	who := callerOf(r)
	f := frame{
		Title: title, Page: name, User: who.name, Status: s,
		Trusted: who.trusted, Why: untrustedReason(r), Now: time.Now(), Body: body,
	}
	var page bytes.Buffer
	if err := templates[name].ExecuteTemplate(&page, "layout", f); err != nil {
		c.logger.Error("cannot render the page", "page", name, "error", err)
		http.Error(w, "This page cannot be shown; the log says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(neutral(shownTo(who, page.Bytes())))
}

// orders are the links and forms of a page that lead to an action.
var orders = regexp.MustCompile(`(?s)<a [^>]*href="/confirm\?[^>]*>.*?</a>|<form [^>]*action="/(?:confirm|act)".*?</form>`)

// shownTo leaves out of a page what its reader may not do. It is asked again
// when the action is.
func shownTo(who caller, page []byte) []byte {
	if who.may(action) {
		return page
	}
	return orders.ReplaceAll(page, nil)
}

// neutral makes visible in a whole page what Visible makes visible in a text.
// The templates have escaped the attacker's HTML; this is for what is not HTML
// and still must not reach a screen, and it forgets no field.
func neutral(page []byte) []byte {
	if !bytes.ContainsFunc(page, hiddenInPage) && utf8.Valid(page) {
		return page
	}
	lines := strings.Split(string(page), "\n")
	for i, line := range lines {
		lines[i] = Visible(line)
	}
	return []byte(strings.Join(lines, "\n"))
}

func hiddenInPage(r rune) bool { return r != '\n' && hidden(r) }

// words are the functions of the templates.
var words = template.FuncMap{
	"count":        count[int],
	"short":        short,
	"who":          who,
	"total":        count[uint64],
	"bytes":        byteSize,
	"clock":        clock,
	"ago":          func(now, t time.Time) string { return RoundDuration(now.Sub(t)) },
	"left":         func(now, t time.Time) string { return RoundDuration(t.Sub(now)) },
	"span":         func(d Duration) string { return RoundDuration(time.Duration(d)) },
	"skew":         skewWords,
	"clip":         clip,
	"cause":        func(s string) string { return clip(CauseWords(s)) },
	"address":      addressURL,
	"state":        func(s Status) string { word, _ := s.state(); return word },
	"stateclass":   func(s Status) string { _, class := s.state(); return class },
	"words":        func(s string) string { return clip(strings.ReplaceAll(s, "_", " ")) },
	"did":          didText,
	"calm":         Status.calm,
	"blockedwords": Status.blockedWords,
	"forever":      func(d Duration) bool { return d == Forever },
	"isset":        func(t time.Time) bool { return !t.IsZero() },
}

// skewWords says how far the clock of a mail host is off. What a line takes to
// arrive is no fault of its clock.
func skewWords(d Duration) string {
	skew := time.Duration(d)
	switch {
	case skew.Abs() < time.Second:
		return "OK"
	case skew < 0:
		return RoundDuration(-skew) + " ahead"
	}
	return RoundDuration(skew) + " behind"
}

// maxShown is how much of a log line a page shows, in bytes; the control API
// has the rest.
const maxShown = 1000

func clip(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s … (%s bytes)", s[:end], count(len(s)))
}

// count writes 1234567 as 1,234,567.
func count[N int | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes what is too long for a tile as 184.2 M.
func short(n uint64) string {
	const most = 100_000_000
	if n < most {
		return count(n)
	}
	v, unit := float64(n)/1e6, "M"
	if v >= 10_000 {
		v, unit = v/1000, "G"
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// who writes a prefix as people do: an address without its length.
func who(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func byteSize(n uint64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1000, 0
	for v >= 1000 {
		v, i = v/1000, i+1
	}
	return fmt.Sprintf("%.3g %cB", v, units[i])
}

// clock writes a time as short as the day allows.
func clock(now, t time.Time) string {
	t, now = t.Local(), now.Local()
	switch {
	case t.IsZero():
		return "never"
	case t.Year() != now.Year():
		return t.Format("2006-01-02 15:04")
	case t.YearDay() != now.YearDay():
		return t.Format("Jan 2 15:04")
	}
	return t.Format("15:04:05")
}
