package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/outbox"
)

// TestBreakerLifts: mx1 lists the world. Its first correspondent is blocked before
// that is plain, and free again when it is; why, the audit log, metrics and a
// webhook say so, and a stranger stays blocked.
func TestBreakerLifts(t *testing.T) {
	g := newGateway(t)
	hook := g.newHook(t, "127.0.0.1:9601")
	secret := g.dir + "/secret"
	writeFile(t, secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	g.serve(t, `
state_dir: `+g.dir+`/state
receiver: {udp: [], tcp: ["10.25.0.1:5514"]}
events: {webhook: {secret_file: `+secret+`, url: "http://127.0.0.1:9601/"}}
`)
	logLine := g.rsyslogd(t, `protocol="tcp"`)
	client := func(i int) string { return fmt.Sprintf("114.238.85.%d", 10+i) }
	listed := func(pid int, addr string) {
		logLine(pid, fmt.Sprintf("ruleset=check_relay, arg1=[%[1]s], arg2=127.0.0.2, relay=[%[1]s], reject=550 5.7.1 Rejected: %[1]s listed at bl.example.org", addr))
	}
	const correspondents, stranger = 6, "114.238.85.200"
	for i := range correspondents {
		id := fmt.Sprintf("6AN7ov%02d%06d", i, 4000+i)
		logLine(4000+i, fmt.Sprintf("%s: from=<a@isp.example>, size=1000, class=0, nrcpts=1, msgid=<%d@isp.example>, proto=ESMTP, daemon=MTA, relay=[%s]", id, i, client(i)))
		logLine(4000+i, id+": to=<a@example.com>, delay=00:00:01, xdelay=00:00:01, mailer=local, pri=31500, dsn=2.0.0, stat=Sent")
	}
	for pid := range 3 {
		listed(5000+pid, client(0))
		listed(5100+pid, stranger)
	}
	block := hook.await(t, "the block", about(outbox.Block, client(0), ""))
	hook.await(t, "the stranger's block", about(outbox.Block, stranger, ""))
	for i := range correspondents - 1 {
		listed(5200+i, client(1+i))
	}
	unblock := hook.await(t, "the end of the block", about(outbox.Unblock, client(0), "breaker"))
	if unblock.Block != block.Block || !strings.Contains(unblock.Note, "mx1") {
		t.Errorf("%+v", unblock)
	}
	if b := g.ask(t, "blocks"); strings.Contains(b, client(0)) || !strings.Contains(b, stranger) {
		t.Errorf("blocked are\n%s", b)
	}
	var why console.Why
	story, code := g.outcome(t, "why", "--json", client(0))
	if err := json.Unmarshal([]byte(story), &why); err != nil || code != exitNo {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if len(why.History) != 1 || why.History[0].Cause != "breaker" || time.Since(why.History[0].Ended) > time.Minute {
		t.Errorf("%+v", why.History)
	}
	if audit := g.ask(t, "audit"); !strings.Contains(audit, "breaker") || !strings.Contains(audit, client(0)) {
		t.Errorf("the audit log says\n%s", audit)
	}
	_, text := g.get(t, "/metrics")
	for _, metric := range []string{`uppercut_unblocks_total{cause="breaker"} 1`, "uppercut_verdicts_taken_back_total 1"} {
		if !strings.Contains(text, metric) {
			t.Errorf("the metrics lack %s", metric)
		}
	}
}
