package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/bcrypt"
)

// TestOperatorUndoesABlockOnThePage is the customer's call: an operator finds
// the address on the page of a real appliance, reads why, unblocks it, and it
// is gone from the kernel, connects again and stands in the audit log.
func TestOperatorUndoesABlockOnThePage(t *testing.T) {
	const client = "114.238.85.249"
	g := newGateway(t, client)
	log := g.servePage(t)
	logLine := g.rsyslogd(t, `protocol="tcp"`)
	for pid := range 6 {
		logLine(5000+pid, refused(client))
	}
	waitFor(t, 5*time.Second, "the client is blocked", func() bool {
		return timedOut(g.connect(t, client, 300*time.Millisecond))
	})

	b := g.openBrowser(t)
	page := (&url.URL{Scheme: "http", User: url.UserPassword("anna", "correct horse"), Host: "127.0.0.1:9514", Path: "/blocks"}).String()
	b.do(chromedp.Navigate(page), chromedp.SendKeys(chromedp.CSS("input[name=search]"), client))
	b.follow(".filter button")
	b.follow(`tbody a[href^="/address"]`)
	for _, want := range []string{"is blocked until", "rule burst fired", "in block4", "mx1", "Fix reverse DNS"} {
		if got := b.text("main"); !strings.Contains(got, want) {
			t.Errorf("the page does not say %q:\n%s", want, got)
		}
	}
	b.follow(`a[href^="/confirm?do=unblock"]`)
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=note]"), "customer called"))
	b.follow("button.strong")
	if got := b.text(".verdict"); !strings.Contains(got, "is not blocked") {
		t.Errorf("after the unblock: %s", got)
	}

	b.follow(`nav a[href="/audit"]`)
	for _, want := range []string{"anna", "unblock", client, "customer called"} {
		if got := b.text("tbody"); !strings.Contains(got, want) {
			t.Errorf("the audit log does not say %q:\n%s", want, got)
		}
	}

	set, err := g.gw.CommandContext(t.Context(), "nft", "list", "set", "inet", "uppercut", "block4").CombinedOutput()
	if err != nil || strings.Contains(string(set), client) {
		t.Errorf("still in the kernel: %v\n%s", err, set)
	}
	if err := g.connect(t, client, 5*time.Second); err != nil {
		t.Errorf("the client cannot connect: %v", err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if want := "action=unblock author=anna via=web"; !strings.Contains(string(text), want) {
		t.Errorf("the log does not say %q", want)
	}
}

// servePage starts uppercut with a user of the page and returns its log file.
func (g *gateway) servePage(t *testing.T) (log string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(g.dir, "web.yml"), fmt.Sprintf("basic_auth_users: {anna: %q}\n", hash))
	g.config = filepath.Join(g.dir, "uppercut.yaml")
	writeFile(t, g.config, "state_dir: "+g.dir+"/state\nreceiver: {udp: [], tcp: [\"10.25.0.1:5514\"]}\n")
	log = filepath.Join(g.dir, "log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := g.uppercut(t, "serve", "--web.config.file", filepath.Join(g.dir, "web.yml"))
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		file.Close()
		if text, err := os.ReadFile(log); t.Failed() {
			t.Logf("uppercut said (%v):\n%s", err, text)
		}
	})
	waitFor(t, 20*time.Second, "uppercut is ready", func() bool { return g.uppercut(t, "health").Run() == nil })
	return log
}

// browser is Debian's chromium on the gateway.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// openBrowser starts one in the gateway's namespace; it is spoken to through
// pipes, which pass into the namespace.
func (g *gateway) openBrowser(t *testing.T) *browser {
	t.Helper()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.Args = append([]string{"ip", "netns", "exec", g.gw.Name(), cmd.Path}, cmd.Args[1:]...)
			cmd.Path, cmd.Err = exec.LookPath("ip")
		}))
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() { stop(); stopAlloc() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return &browser{t, ctx}
}

// browserPatience is how long one step may take.
const browserPatience = 30 * time.Second

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// follow clicks and waits for the page that comes.
func (b *browser) follow(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

func (b *browser) text(selector string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}
