package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/deploy/netns"
)

// TestWhatIsNotHeardIsTold by status, senders and health, with real sockets: a
// sender of whose lines nothing is understood, lines of sendmail that are not,
// an address that is refused, and lines that a mail host has dropped.
func TestWhatIsNotHeardIsTold(t *testing.T) {
	g := newGateway(t, "203.0.113.9")
	g.serve(t, "mode: observe\nstate_dir: "+g.dir+"/state\nreceiver: {udp: [\"10.25.0.1:5514\"], tcp: [\"10.25.0.1:5514\"]}\n")
	g.says(t, exitOK, []string{"status"}, "0 not understood, 0 of other programs")
	g.says(t, exitOK, []string{"health"}, "senders   ok")

	send := func(frames ...string) {
		conn, err := g.mx.Dial(t.Context(), new(net.Dialer), "tcp", "10.25.0.1:5514")
		netns.Must(t, err)
		defer conn.Close()
		for _, frame := range frames {
			_, err := fmt.Fprintf(conn, "%s\n", frame)
			netns.Must(t, err)
		}
	}
	heard := func(n int) {
		waitFor(t, 20*time.Second, fmt.Sprint(n, " messages are judged"), func() bool {
			out, _ := g.outcome(t, "status")
			return strings.Contains(out, fmt.Sprintf("received, %d judged", n))
		})
	}
	now := time.Now().UTC().Format(time.RFC3339)
	send(repeated(17, "<22>1 "+now+" gw 3f2a1b4c5d6e 4917 - - hello")...)
	heard(17)
	waitFor(t, 20*time.Second, "it is not ready", func() bool {
		status, _ := g.get(t, "/-/ready")
		return status == http.StatusServiceUnavailable
	})
	g.says(t, exitNo, []string{"health"}, "NOT OK: cannot understand anything from 1 sender")
	g.says(t, exitOK, []string{"status"}, "nothing is understood of what 1 sender sends", "0 not understood, 17 of other programs")
	g.says(t, exitOK, []string{"senders"}, "17 (3f2a1b4c5d6e)", "NOTHING UNDERSTOOD; no line has a tag of detector.tags")

	send("<22>1 "+now+" mx1 sendmail 7 - - NOQUEUE: connect from x [192.0.2.1]", "<22>1 "+now+" mx1 sendmail 7 - - 6ANJY8aV000007: something that sendmail never said")
	heard(19)
	g.says(t, exitOK, []string{"status"}, "1 not understood, 17 of other programs")
	waitFor(t, 20*time.Second, "it is ready", func() bool {
		status, body := g.get(t, "/-/ready")
		return status == http.StatusOK && strings.Contains(body, "senders: warning: cannot understand anything from 1 of 2 senders")
	})
	g.says(t, exitOK, []string{"health"}, "ok, but cannot understand anything from 1 of 2 senders")

	// A container's lines, each with sendmail's own tag inside.
	send(repeated(3, "<22>1 "+now+" box 3f2a1b4c5d6e 4917 - - sendmail[123]: NOQUEUE: connect from x [192.0.2.1]")...)
	heard(22)
	g.says(t, exitOK, []string{"senders"}, "list it in receiver.wrapping_tags")

	send(losses(t)...)
	heard(26)
	g.says(t, exitOK, []string{"status"}, "1 mail host has dropped lines within the last hour, 95187 lines since the start")
	g.says(t, exitOK, []string{"senders"}, "dropped lines: Forwarding to syslog missed 50087 messages.")
	_, metrics := g.get(t, "/metrics")
	for _, want := range []string{`uppercut_source_lost_messages_total{host="mx1"} 95187`, `uppercut_source_losses_unknown_total{host="mx1"} 2`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}

	refused := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("203.0.113.9")}}
	if conn, err := g.net.Dial(t.Context(), refused, "tcp", "10.25.0.1:5514"); err == nil { // else it was reset at once
		_, _ = conn.Read(make([]byte, 1))
		conn.Close()
	}
	g.says(t, exitOK, []string{"status"}, "1 address is refused: not in receiver.senders")
	g.says(t, exitOK, []string{"senders"}, "203.0.113.9", "REFUSED: not in receiver.senders, 1 attempts")
	g.says(t, exitOK, []string{"senders", "--json"}, `"reason": "acl"`, `"why": "not in receiver.senders"`)
}

func repeated(n int, frame string) (frames []string) {
	for range n {
		frames = append(frames, frame)
	}
	return frames
}

// losses are frames in which log daemons say that they have dropped lines, as
// captured: one a line, quoted as Python does.
func losses(t *testing.T) (frames []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/wire/losses-told.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		quoted, ok := strings.CutPrefix(strings.TrimSpace(line), "b'")
		if !ok {
			continue
		}
		frame, err := strconv.Unquote(`"` + strings.TrimSuffix(quoted, "'") + `"`)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, strings.TrimSuffix(frame, "\n"))
	}
	return frames
}

// TestSendersArePrinted as one table, with a state in words.
func TestSendersArePrinted(t *testing.T) {
	now := time.Now()
	var out bytes.Buffer
	p := terminal.NewPrinter(&out, nil)
	err := printSenders(p, []console.Sender{
		{Host: "mx1", Sender: "10.0.0.1", Transport: "tcp", Last: now, Messages: 9, Understood: 7, NotUnderstood: 1, Foreign: 1, ForeignTag: "cron"},
		{Host: "mx2", Sender: "10.0.0.2", Transport: "udp", Last: now, Unread: 12, NothingUnderstood: true},
		{Host: "mx3", Sender: "10.0.0.3", Transport: "udp", Last: now, NothingUnderstood: true, Advice: "forward it", ForeignTag: "a\x1b[31mb", SourceLosses: 1, LossText: "begin to drop"},
		{Host: "mx9", Expected: true},
		{Sender: "192.0.2.12", Transport: "tls", Last: now, Refused: &console.Refused{Why: "certificate has expired", Certificate: "mx4.example.org", First: now, Attempts: 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for i, want := range []string{
		"HOST SENDER BY LAST MESSAGES READ UNKNOWN FOREIGN UNREAD REJECTIONS ACCEPTED SKEW",
		"mx1 10.0.0.1 tcp * 9 7 1 1 (cron) 0 0 0 0s",
		"mx2 10.0.0.2 udp * 0 0 0 0 12 0 0 0s NOTHING UNDERSTOOD",
		`mx3 10.0.0.3 udp * 0 0 0 0 (a\x1b[31mb) 0 0 0 0s NOTHING UNDERSTOOD; forward it; dropped lines: begin to drop`,
		"mx9 * not heard yet",
		"- 192.0.2.12 tls * REFUSED: certificate has expired (mx4.example.org), 3 attempts, first *",
	} {
		if !matches(want, got[i]) {
			t.Errorf("%q, want %q", got[i], want)
		}
	}
}

// matches compares words; * in the pattern stands for some.
func matches(pattern, text string) bool {
	for part := range strings.SplitSeq(pattern, "*") {
		i := strings.Index(text, strings.TrimSpace(part))
		if i < 0 {
			return false
		}
		text = text[i+len(strings.TrimSpace(part)):]
	}
	return text == "" || strings.HasSuffix(pattern, "*")
}
