package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/outbox"
)

// hook is a webhook on the gateway's loopback.
type hook struct {
	mu  sync.Mutex
	got []outbox.Event
}

func (g *gateway) newHook(t *testing.T, address string) *hook {
	t.Helper()
	h := new(hook)
	l, err := g.gw.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var post struct{ Events []outbox.Event }
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &post); err != nil || r.Header.Get("Webhook-Signature") == "" {
			t.Errorf("post %s: %v", body, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, post.Events...)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return h
}

// await waits for an event that is like that.
func (h *hook) await(t *testing.T, what string, like func(outbox.Event) bool) (found outbox.Event) {
	t.Helper()
	waitFor(t, 10*time.Second, "the webhook hears of "+what, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		i := slices.IndexFunc(h.got, like)
		if i >= 0 {
			found = h.got[i]
		}
		return i >= 0
	})
	return found
}

func about(kind outbox.Kind, client, cause string) func(outbox.Event) bool {
	return func(e outbox.Event) bool {
		return e.Kind == kind && e.Prefix.String() == client+"/32" && e.Cause == cause
	}
}

// TestWhatHappensIsTold: a webhook hears from a real appliance who was blocked,
// who was not, and who was let go; a reload sends it elsewhere; the audit log
// and the address's story have it all.
func TestWhatHappensIsTold(t *testing.T) {
	const client, partner = "114.238.85.246", "114.238.85.12"
	g := newGateway(t)
	first, second := g.newHook(t, "127.0.0.1:9601"), g.newHook(t, "127.0.0.1:9602")
	secret := filepath.Join(g.dir, "secret")
	writeFile(t, secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	config := `
state_dir: ` + g.dir + `/state
receiver: {udp: [], tcp: ["10.25.0.1:5514"]}
enforcer: {allow: ["` + partner + `"]}
events: {webhook: {secret_file: ` + secret + `, url: "http://127.0.0.1:9601/"}}
`
	appliance := g.serve(t, config)
	logLine := g.rsyslogd(t, `protocol="tcp"`)
	for pid := range 6 {
		logLine(4000+pid, refused(client))
		logLine(5000+pid, refused(partner))
	}
	block := first.await(t, "the block", about(outbox.Block, client, ""))
	if block.Rule != "burst" || block.Reason != "no_rdns" || block.Host != "mx1" || block.Block == 0 || block.Observed ||
		len(block.Evidence) == 0 || !strings.Contains(block.Evidence[0].Text, "Fix reverse DNS") {
		t.Errorf("block: %+v", block)
	}
	guard := first.await(t, "who is not blocked", about(outbox.Guard, partner, "allowlist"))
	if guard.Rule != "burst" || guard.Score < 10 {
		t.Errorf("guard: %+v", guard)
	}
	g.testCourse(t, client)

	writeFile(t, g.config, strings.Replace(config, ":9601/", ":9602/", 1))
	g.reload(t, appliance)
	g.ask(t, "unblock", "--note", "customer called", client)
	unblock := second.await(t, "the unblock", about(outbox.Unblock, client, "manual"))
	if unblock.Block != block.Block || unblock.Author != "root" || unblock.Note != "customer called" {
		t.Errorf("unblock: %+v", unblock)
	}
	g.testPast(t, client)
	if _, text := g.get(t, "/metrics"); !strings.Contains(text, `uppercut_events_dropped_total{reason="overflow",sink="webhook"} 0`) {
		t.Error("no metrics of the outbox")
	}
}

// reload has the appliance read its configuration again.
func (g *gateway) reload(t *testing.T, appliance *exec.Cmd) {
	t.Helper()
	loaded := func() string {
		const metric = "\nuppercut_config_last_reload_success_timestamp_seconds "
		_, text := g.get(t, "/metrics")
		_, rest, _ := strings.Cut(text, metric)
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	before := loaded()
	if err := appliance.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 10*time.Second, "the configuration is loaded again", func() bool { return loaded() != before })
}

// testCourse holds the story of a score against what the client has done.
func (g *gateway) testCourse(t *testing.T, client string) {
	t.Helper()
	var why console.Why
	if err := json.Unmarshal([]byte(g.ask(t, "why", "--json", client)), &why); err != nil {
		t.Fatal(err)
	}
	if len(why.Rules) != 2 {
		t.Fatalf("rules: %+v", why.Rules)
	}
	course := why.Rules[0].Course
	if len(course) < 2 || course[0].Score != 0 || course[len(course)-1].Score != why.Rules[0].Score || why.Rules[0].Score < 10 {
		t.Errorf("score %v came about as %+v", why.Rules[0].Score, course)
	}
}

// testPast looks what is said of a client's block when an operator has lifted
// it.
func (g *gateway) testPast(t *testing.T, client string) {
	t.Helper()
	var why console.Why
	text, code := g.outcome(t, "why", "--json", client)
	if err := json.Unmarshal([]byte(text), &why); err != nil || code != exitNo {
		t.Fatalf("exit code %d, %v:\n%s", code, err, text)
	}
	if len(why.History) != 1 || why.History[0].Cause != "manual" || why.History[0].Ended.IsZero() || !why.LeftAloneUntil.After(time.Now()) {
		t.Errorf("history %+v, left alone until %v", why.History, why.LeftAloneUntil)
	}
	var audit console.AuditPage
	if err := json.Unmarshal([]byte(g.ask(t, "audit", "--json", "--action", "unblock", client)), &audit); err != nil {
		t.Fatal(err)
	}
	if len(audit.Entries) != 1 || audit.Entries[0].Author != "root" || audit.Entries[0].Note != "customer called" {
		t.Errorf("audit log: %+v", audit)
	}
	if out := g.ask(t, "audit"); !strings.Contains(out, "customer called") || !strings.HasPrefix(out, "WHEN") {
		t.Errorf("audit:\n%s", out)
	}
}
