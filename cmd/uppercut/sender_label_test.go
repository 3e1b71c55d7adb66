package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// TestSendersAreCountedByCertificate: a mail host calls itself mx1 in its lines
// and mx1.example.org in its certificate. The list of senders and all metrics
// go by the certificate, also when its scores were restored from the last run.
func TestSendersAreCountedByCertificate(t *testing.T) {
	p := newPost(t)
	p.start()
	host := p.rsyslogd("tls")
	check := func() {
		t.Helper()
		waitFor(t, 20*time.Second, "its refusals are counted", func() bool {
			text, _ := p.get("/metrics")
			return strings.Contains(text, `uppercut_rejections_total{host="mx1.example.org",reason="no_rdns"} 10`)
		})
		if text, err := p.get("/metrics"); err != nil || strings.Contains(text, `host="mx1"`) {
			t.Errorf("the name in its lines is a label, too (%v)", err)
		}
		out, err := p.net.Run(p.program, "--config", filepath.Join(p.dir, "uppercut.yaml"), "senders")
		netns.Must(t, err)
		var row []string
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "mx1.example.org") {
				row = strings.Fields(line)
			}
		}
		if len(row) < 3 || row[1] != "mx1.example.org" || !strings.Contains(strings.Join(row, " "), " 20 20 ") {
			t.Errorf("uppercut senders does not say that 20 messages were 20 rejections:\n%s", out)
		}
	}
	host.log(20)
	check()
	p.end(syscall.SIGTERM)
	p.start()
	host.log(20)
	check()
}
