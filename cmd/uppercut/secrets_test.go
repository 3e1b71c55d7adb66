package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"uppercut/cmd/uppercut/outbox"
)

// What clients said in confidence: the users they guessed, an AUTH line as
// LogLevel 15 writes it, and a password in a line that nobody understands.
const (
	guessedUser = "confidant"
	saidBase64  = "AGNvbmZpZGFudABodW50ZXIy"
	saidSecret  = "hunter2"
)

// TestSecretsLeaveByNoWay: an appliance blocks on lines that hold users and
// passwords; then everything that it has written, printed, served and sent is
// searched for them, and the metrics also for the client's address.
func TestSecretsLeaveByNoWay(t *testing.T) {
	const client = "114.238.85.246"
	g := newGateway(t)
	anna := url.UserPassword("anna", "correct horse")
	hook := g.newHook(t, "127.0.0.1:9601")
	log := g.serveWithSecrets(t)
	logLine := g.rsyslogd(t, `protocol="tcp"`)
	for i := range 8 {
		logLine(4000+i, fmt.Sprintf("6ANC00aa%06d: AUTH failure (PLAIN): user not found (-20) SASL(-13): user not found: checkpass failed, user=%s%d@example.org, relay=[%s]", i, guessedUser, i, client))
		logLine(5000+i, fmt.Sprintf("6ANC00ab%06d: <-- AUTH PLAIN %s", i, saidBase64))
		logLine(6000+i, fmt.Sprintf("6ANC00ac%06d: a line that nobody understands, password=%s", i, saidSecret))
	}
	block := hook.await(t, "the block", about(outbox.Block, client, ""))
	if block.Reason != "auth_fail" || len(block.Evidence) == 0 || !strings.Contains(block.Evidence[0].Text, "***") {
		t.Errorf("blocked for another reason, or nothing is masked: %+v", block)
	}
	if err := g.uppercut(t, "reload").Run(); err != nil { // whatever a reload logs
		t.Error(err)
	}
	for _, command := range []string{"status", "why " + client, "blocks", "senders", "audit", "top", "firewall show"} {
		told, _ := g.outcome(t, strings.Fields(command)...)
		keepsSecrets(t, command, told)
		told, _ = g.outcome(t, append(strings.Fields(command), "--json")...)
		keepsSecrets(t, command+" --json", told)
	}
	for _, path := range []string{"/", "/blocks", "/address?addr=" + client, "/senders", "/samples", "/guards", "/audit", "/config"} {
		status, page := g.getAs(t, anna, path)
		if status != http.StatusOK {
			t.Errorf("page %s: %d %s", path, status, page)
		}
		keepsSecrets(t, "page "+path, page)
	}
	hook.mu.Lock()
	keepsSecrets(t, "events", fmt.Sprintf("%+v", hook.got))
	hook.mu.Unlock()
	_, metrics := g.getAs(t, anna, "/metrics")
	keepsSecrets(t, "metrics", metrics)
	if at := regexp.MustCompile(`\{[^}]*\b` + regexp.QuoteMeta(client)).FindString(metrics); at != "" {
		t.Errorf("a label holds the client: %s", at)
	}
	g.searchFiles(t, log)
}

// keepsSecrets looks for what must not be in a text, and that there is one.
func keepsSecrets(t *testing.T, where, text string) {
	t.Helper()
	if text == "" {
		t.Errorf("%s says nothing", where)
	}
	for _, secret := range []string{guessedUser, saidBase64, saidSecret} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s tells: %q", where, text[max(0, i-80):i+len(secret)])
		}
	}
}

// serveWithSecrets starts uppercut with a page for anna, events and a log file.
func (g *gateway) serveWithSecrets(t *testing.T) (log string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(g.dir, "web.yml"), fmt.Sprintf("basic_auth_users: {anna: %q}\n", hash))
	writeFile(t, filepath.Join(g.dir, "signing"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	g.config = filepath.Join(g.dir, "uppercut.yaml")
	writeFile(t, g.config, `
state_dir: `+g.dir+`/state
receiver: {udp: [], tcp: ["10.25.0.1:5514"]}
web: {config_file: `+g.dir+`/web.yml}
events: {webhook: {secret_file: `+g.dir+`/signing, url: "http://127.0.0.1:9601/"}}
`)
	log = filepath.Join(g.dir, "uppercut.log")
	file, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := g.uppercut(t, "serve", "--log.level", "debug")
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if text, err := os.ReadFile(log); t.Failed() {
			t.Logf("uppercut said (%v):\n%s", err, text)
		}
	})
	waitFor(t, 20*time.Second, "uppercut is ready", func() bool { return g.uppercut(t, "health").Run() == nil })
	return log
}

// searchFiles reads what the appliance keeps on disk and what it logged.
func (g *gateway) searchFiles(t *testing.T, log string) {
	t.Helper()
	read := 0
	err := filepath.Walk(filepath.Join(g.dir, "state"), func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if len(text) > 0 {
			keepsSecrets(t, path, string(text))
			read++
		}
		return err
	})
	if err != nil || read < 2 {
		t.Errorf("%d files of the state are read, %v", read, err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	keepsSecrets(t, "the log", string(text))
}
