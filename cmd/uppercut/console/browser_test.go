package console

import (
	"context"
	"fmt"
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
	return start(t, Config{Listen: "127.0.0.1:0", ConfigFile: webConfigFile(t)}, f)
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
	dir := os.Getenv("UPPERCUT_SCREENSHOTS")
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
	{"desktop-light", 1280, 900, "light"},
	{"desktop-dark", 1280, 900, "dark"},
	{"phone-light", 390, 844, "light"},
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
		{"guards", "/guards", "Guards"},
		{"samples", "/samples", "Not understood"},
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
