package console

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"
)

const (
	operatorName     = "anna"
	operatorPassword = "correct horse"
)

// webConfigFile writes a web configuration with one user and returns its path.
func webConfigFile(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(operatorPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "web.yml")
	text := fmt.Sprintf("basic_auth_users:\n  %s: %s\n", operatorName, hash)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// startPage serves f on the web listener with one user.
func startPage(t *testing.T, f *fake) *running {
	t.Helper()
	return start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: webConfigFile(t)}, f)
}

// browser is Chromium with one window, and what it complained of.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// openBrowser starts Debian's chromium. Every complaint on its console fails
// the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 900),
	)
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	if err := chromedp.Do(ctx); err != nil {
		stopAlloc()
		t.Fatalf("start chromium: %v", err)
	}
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		stopAlloc()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return b
}

// patience is how long one step may take.
const patience = 30 * time.Second

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s", e.Type))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// ask runs an action that answers.
func ask[T any](b *browser, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// open goes to a page as the operator.
func (b *browser) open(r *running, path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(fmt.Sprintf("http://%s:%s@%s%s", operatorName, url.PathEscape(operatorPassword), r.Addr(), path)))
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	return ask(b, chromedp.Text(chromedp.CSS(selector)))
}

// lookFrom sets the screen and the reader's preference for light or dark.
func (b *browser) lookFrom(l look) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(l.width, l.height))
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// screenshot keeps a picture of the whole page where CI collects them.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	png := ask(b, chromedp.FullScreenshot(100))
	dir := os.Getenv("SCREENSHOTS_DIR")
	if dir == "" {
		dir = b.t.ArtifactDir()
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// look is a screen and what its reader prefers.
type look struct {
	name          string
	width, height int64
	scheme        string
}

// looks are the screens that every page must fit.
var looks = []look{
	{"desktop-light", 1440, 900, "light"},
	{"desktop-dark", 1440, 900, "dark"},
	{"phone-light", 375, 812, "light"},
	{"phone-dark", 375, 812, "dark"},
}

func TestPagesInABrowser(t *testing.T) {
	r := startPage(t, fleet())
	fill(r.Console, time.Now())
	b := openBrowser(t)
	for _, p := range []struct{ name, path, heading string }{
		{"overview", "/", "Rejections"},
		{"blocks", "/blocks", "Blocks"},
		{"address", "/address?addr=" + attacked.String(), attacked.String()},
		{"senders", "/senders", "Mail hosts"},
		{"guards", "/guards", "Safety"},
		{"samples", "/samples", "Not understood"},
		{"audit", "/audit", "Audit log"},
		{"config", "/config", "Configuration"},
		{"confirm", "/confirm?do=unblock&prefix=203.0.113.9", "Unblock"},
	} {
		for _, look := range looks {
			b.lookFrom(look)
			b.open(r, p.path)
			if got := b.text("main"); !strings.Contains(got, p.heading) {
				t.Errorf("%s: no %q on the page:\n%s", p.name, p.heading, got)
			}
			if wide := ask(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > look.width {
				t.Errorf("%s on %s: the page is %d wide and does not fit", p.name, look.name, wide)
			}
			b.screenshot(p.name + "-" + look.name)
		}
	}
}

// brokenWords finds the words in tables that stand on more than one line, but for
// what others wrote and for what breaks at a hyphen or slash as it may.
const brokenWords = `(() => {
  const broken = [];
  for (const cell of document.querySelectorAll("th, td")) {
    if (["Line", "More", "Note", "Why", "About"].includes(cell.dataset.label)) continue;
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[^\s\-\/…·]+/g)) {
      const range = document.createRange();
      range.setStart(texts.currentNode, word.index);
      range.setEnd(texts.currentNode, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1) broken.push(word[0]);
    }
  }
  return broken.join(" ");
})()`

// No word of a table is broken, and no page is wider than the screen, at any width.
func TestTablesBreakNoWords(t *testing.T) {
	r := startPage(t, fleet())
	fill(r.Console, time.Now())
	b := openBrowser(t)
	for _, page := range []string{"/", "/blocks", "/address?addr=" + attacked.String(), "/senders", "/guards", "/samples", "/audit"} {
		b.open(r, page)
		for _, width := range []int64{360, 720, 800, 1025, 1100, 1280, 1920} {
			b.lookFrom(look{width: width, height: 900, scheme: map[bool]string{true: "dark", false: "light"}[width == 800 || width == 1920]})
			if words := ask(b, chromedp.Evaluate[string](brokenWords)); words != "" {
				t.Errorf("%s at %d: broken words: %s", page, width, words)
			}
			if wide := ask(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > width {
				t.Errorf("%s at %d: the page is %d wide", page, width, wide)
			}
			b.screenshot(fmt.Sprintf("width%s-%d", strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(page), width))
		}
	}
}

// On a phone a block takes four lines or so, not a line for each of its eight facts.
func TestBlocksAreShortOnAPhone(t *testing.T) {
	r := startPage(t, fleet())
	fill(r.Console, time.Now())
	b := openBrowser(t)
	b.lookFrom(look{width: 360, height: 740, scheme: "light"})
	b.open(r, "/blocks")
	high := ask(b, chromedp.Evaluate[int64](`Math.max(...[...document.querySelectorAll("tbody tr")].map((row) => row.offsetHeight))`))
	if high > 140 {
		t.Errorf("a block is %d pixels high", high)
	}
	b.screenshot("blocks-360")
}

// waitFor evaluates a JavaScript condition until it holds.
func (b *browser) waitFor(condition string) {
	b.t.Helper()
	ask(b, chromedp.Poll[bool](condition))
}

// follow clicks and waits for the page that comes.
func (b *browser) follow(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

func TestOperatorUnblocksAnAddress(t *testing.T) {
	r := startPage(t, fleet())
	b := openBrowser(t)
	b.open(r, "/blocks")
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=search]`), "203.0.113."))
	b.follow(".filter button")
	if got := b.text("h1"); !strings.Contains(got, "1 found") {
		t.Fatalf("search: %q", got)
	}
	b.follow(`tbody a[href^="/address"]`)
	if got := b.text(".verdict"); !strings.Contains(got, "203.0.113.9 is blocked until") || !strings.Contains(got, "rule burst") {
		t.Errorf("verdict: %q", got)
	}
	if got := b.text("table"); !strings.Contains(got, "User unknown") {
		t.Errorf("no evidence: %q", got)
	}
	b.follow(`a[href^="/confirm?do=unblock"]`)
	b.do(chromedp.SendKeys(chromedp.CSS(`input[name=note]`), "customer called"))
	b.follow("button.strong")
	if got := b.text(".note"); !strings.Contains(got, "Unblocked") {
		t.Errorf("after the action: %q", got)
	}
	if got := b.text(".verdict"); !strings.Contains(got, "is not blocked") {
		t.Errorf("verdict after the action: %q", got)
	}
	if did := r.fake.done(); !slices.Equal(did, []string{"unblock [203.0.113.9/32] by anna: customer called"}) {
		t.Errorf("done: %v", did)
	}
	if !strings.Contains(r.audit.String(), `action=unblock author=anna via=web`) {
		t.Errorf("audit log: %s", r.audit)
	}
}

func TestOperatorOrdersOtherThings(t *testing.T) {
	r := startPage(t, fleet())
	b := openBrowser(t)
	b.open(r, "/guards")
	b.follow(`a[href*="close_breaker"]`)
	b.follow("button.strong")
	b.do(chromedp.SendKeys(chromedp.CSS(`main input[name=prefix]`), "198.51.100.0/28"))
	b.follow(".filter button")
	b.do(chromedp.SetValue(chromedp.CSS(`select[name=for]`), "24h0m0s"))
	b.follow("button.strong")
	if got := b.text(".note"); !strings.Contains(got, "allow list") {
		t.Errorf("after allow: %q", got)
	}
	b.open(r, "/confirm?do=block&prefix=192.0.2.200")
	b.follow("button.strong")
	b.open(r, "/confirm?do=disallow&prefix=198.51.100.0/28")
	b.follow("button.strong")
	want := []string{
		"close breaker of mx6 by anna: ", "allow [198.51.100.0/28] for 24h0m0s by anna: ",
		"block [192.0.2.200/32] for 0s by anna: ", "disallow [198.51.100.0/28] by anna: ",
	}
	if did := r.fake.done(); !slices.Equal(did, want) {
		t.Errorf("done: %q, want %q", did, want)
	}
}

func TestOverviewFollowsWhatHappens(t *testing.T) {
	r := startPage(t, fleet())
	b := openBrowser(t)
	b.open(r, "/")
	b.waitFor(`document.getElementById("events").innerText.includes("No events since")`)
	r.Publish(Event{Time: time.Now(), Kind: EventBlock, Prefix: netip.MustParsePrefix("192.0.2.99/32"), Rule: "burst", Reason: "dnsbl"})
	r.fake.mu.Lock()
	r.fake.status.Suspended = true
	r.fake.mu.Unlock()
	b.waitFor(`document.getElementById("events").innerText.includes("192.0.2.99")`)
	b.waitFor(`document.getElementById("state").innerText.includes("suspended")`)
}

// TestPagesWithoutJavaScript reads the overview in a browser that runs none.
func TestPagesWithoutJavaScript(t *testing.T) {
	r := startPage(t, fleet())
	fill(r.Console, time.Now())
	b := openBrowser(t)
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.open(r, "/")
	for _, want := range []string{"Blocked now", "Rejections", "dnsbl", "Latest"} {
		if got := b.text("main"); !strings.Contains(got, want) {
			t.Errorf("no %q without JavaScript", want)
		}
	}
}

// hostile is what an attacker would like to see in a browser: a script, an end
// of everything that could surround it, control characters, escapes of a
// terminal, marks that turn the direction of text, marks that pile up, 64 KiB.
var hostile = "<script>hit()</script>\"'></td></table><img src=x onerror=hit()>{{.}}\x1b[2J\x1b]0;owned\x07\x00\r\n" +
	"\u202egnp.exe\u2066\u200b\u2028" + strings.Repeat("Z\u0351\u0352", 40) + "\xff\xfe" + strings.Repeat("W", 64<<10)

// hostileFleet has hostile text in every field that logs or senders can reach.
func hostileFleet() *fake {
	f := fleet()
	own := netip.PrefixFrom(attacked, 32)
	f.add(Block{
		Prefix: own, Rule: "burst", Reason: hostile, Hosts: []string{hostile, hostile}, Note: hostile, Author: hostile, At: f.now,
	})
	w := f.why[attacked]
	w.Exempt = hostile
	w.Evidence = []Evidence{{f.now, hostile, hostile, hostile, hostile, hostile}}
	w.History = []PastBlock{{Block: Block{Prefix: own, At: f.now, Until: f.now, Rule: hostile, Note: hostile, Author: hostile}, Ended: f.now, Cause: hostile}}
	f.why[attacked] = w
	f.senders = append(f.senders, Sender{
		Host: hostile, Sender: hostile, Transport: hostile, ForeignTag: hostile, LossText: hostile, LastLoss: f.now, SourceLost: 1,
	}, Sender{Sender: hostile, Transport: hostile, Refused: &Refused{Why: hostile, Certificate: hostile}})
	f.samples = append(f.samples, Sample{f.now, hostile, hostile, hostile, hostile, 1, hostile})
	f.open = append(f.open, Breaker{Host: hostile, Open: true, Reason: hostile})
	f.allowed[own] = Allowance{Prefix: own, Note: hostile, Author: hostile}
	f.status.Version, f.status.Reload.Error = hostile[:200], hostile
	f.audit = append(f.audit, AuditEntry{f.now, hostile, hostile, hostile, []netip.Prefix{own}, 1, 0, hostile, time.Time{}})
	f.config = hostile
	return f
}

func TestHostileTextDoesNothingInABrowser(t *testing.T) {
	r := startPage(t, hostileFleet())
	r.history.blocked(Event{Time: time.Now(), Rule: hostile, Reason: hostile, Host: hostile})
	r.Publish(Event{Time: time.Now(), Kind: EventBlock, Prefix: netip.PrefixFrom(attacked, 32), Rule: hostile, Reason: hostile, Host: hostile, Text: hostile})
	b := openBrowser(t)
	for _, look := range looks[1:3] {
		b.lookFrom(look)
		for _, path := range []string{
			"/", "/blocks?search=203.0.113.9", "/address?addr=" + attacked.String(), "/senders", "/samples", "/guards", "/audit", "/config",
			"/confirm?do=close_breaker&host=" + url.QueryEscape(hostile[:1000]),
		} {
			b.open(r, path)
			if path == "/" {
				b.waitFor(`document.getElementById("events").innerText.includes("203.0.113.9")`)
			}
			const scripts = `document.querySelectorAll("main script, main img, main [onerror]").length`
			if n := ask(b, chromedp.Evaluate[int](scripts)); n > 0 {
				t.Errorf("%s: %d elements came out of the logs", path, n)
			}
			if wide := ask(b, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)); wide > look.width {
				t.Errorf("%s on %s: the page is %d wide and does not fit", path, look.name, wide)
			}
			text := ask(b, chromedp.Evaluate[string](`document.documentElement.innerText`))
			if i := strings.IndexFunc(strings.ReplaceAll(text, "\t", " "), hiddenInPage); i >= 0 {
				t.Errorf("%s: %q reaches the screen", path, text[max(0, i-20):i+20])
			}
			if !strings.Contains(text, `\x1b[2J`) || !strings.Contains(text, `\u202e`) {
				t.Errorf("%s: the text is not shown as what it is", path)
			}
			b.screenshot("hostile" + strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-").Replace(path[:min(len(path), 20)]) + "-" + look.name)
		}
	}
}
