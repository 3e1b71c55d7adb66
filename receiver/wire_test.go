package receiver

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"uppercut/receiver/header"
)

// capture is what one sender put on the wire, see testdata/wire.
type capture struct {
	datagrams []string
	stream    string   // client to server
	answers   string   // server to client
	reads     []string // the stream as it arrived, write by write
}

// readCapture reads a file of testdata/wire: comments, headings, and the bytes
// as Go strings.
func readCapture(t testing.TB, name string) capture {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("testdata", "wire", name))
	if err != nil {
		t.Fatal(err)
	}
	var c capture
	heading := ""
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "## ") {
			heading = line
		}
		if !strings.HasPrefix(line, `"`) {
			continue
		}
		data, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		switch {
		case strings.HasPrefix(heading, "## datagram"):
			c.datagrams = append(c.datagrams, data)
		case strings.Contains(heading, "server->client"):
			c.answers += data
		default:
			c.stream += data
			c.reads = append(c.reads, data)
		}
	}
	return c
}

// badFrames returns the frames that no header can be read from.
func badFrames(t testing.TB) (frames []string) {
	t.Helper()
	file, err := os.ReadFile("header/testdata/bad.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		_, quoted, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if frame, err := strconv.Unquote(quoted); err == nil {
			frames = append(frames, frame)
		}
	}
	if len(frames) < 30 {
		t.Fatalf("%d bad frames", len(frames))
	}
	return append(frames, strings.Repeat("7", 64<<10), "<22>"+strings.Repeat("\xff", 1000))
}

func captureNames(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d captures: %v", len(paths), err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

// frames cuts the capture into frames as a listener would.
func (c capture) frames(t testing.TB) []string {
	t.Helper()
	if c.datagrams != nil {
		return c.datagrams
	}
	s := splitter{max: 64 << 10}
	spans, used := s.split([]byte(c.stream), nil)
	var frames []string
	for _, f := range spans {
		frames = append(frames, c.stream[f.start:f.end])
	}
	if used != len(c.stream) {
		t.Fatalf("%d bytes left at the end of the stream: %q", len(c.stream)-used, c.stream[used:])
	}
	return frames
}

// sent is what was given to every rsyslog and syslog-ng, in the shape that
// reaches us when the sender changes nothing.
func sent() []header.Header {
	m := func(priority uint8, tag string, pid uint32, text string) header.Header {
		return header.Header{Priority: priority, Tag: tag, PID: pid, Text: text, Host: "vm"}
	}
	return []header.Header{
		m(22, "sendmail", 17608, "4ANJUBRC017608: from=<alice@example.org>, size=1234, class=0, nrcpts=1, msgid=<x@y.example>, proto=ESMTPS, daemon=MTA, relay=host.example.net [192.0.2.10]"),
		m(22, "sm-mta", 17609, "4ANJUBRC017608: to=<bob@example.net>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=121234, relay=mx.example.net. [192.0.2.25], dsn=2.0.0, stat=Sent (2.0.0 Ok: queued as 9F3C61A0045)"),
		m(22, "sendmail", 17608, "ctl tab\tlf\nsoh\x01del\x7fcr\resc\x1bend"),
		m(22, "sendmail", 17608, "three leading, two trailing  "),
		m(22, "sendmail", 17608, "caf\u00e9 \u6f22"),
		m(22, "sendmail", 17608, "caf\xe9 \xff end"),
		m(22, "sendmail", 17608, "a\x00b"),
		m(22, "sendmail", 17608, ""),
		m(22, "sendmail", 0, "no pid"),
		m(22, "sendmail", 17608, "no colon"),
		m(20, "postfix/smtpd", 42, "warning: x"),
		m(22, "abcdefghijklmnopqrstuvwxyz0123456789abcdef", 7, "long tag"),
		m(18, "sendmail", 17608, "SYSERR(root): collect: #012 literal, pct %d <angle>"),
		m(22, "sendmail", 17608, "250 2.1.0 ok starts with digits"),
		m(22, "sendmail", 17608, strings.Repeat("y", 8200)+"END"),
		m(22, "sendmail", 17608, "after-long"),
	}
}

// expected is sent after what the sender of the capture is known to do to it.
func expected(name string) []header.Header {
	messages := sent()
	syslogNG := strings.HasPrefix(name, "syslogng")
	template := strings.Contains(name, "Protocol23") || name == "rsyslog-tcp-octet-noescape.txt"
	for i := range messages {
		m := &messages[i]
		if !syslogNG {
			m.Text = strings.ReplaceAll(m.Text, "\x00", "#000")
		}
		if !syslogNG && !strings.Contains(name, "noescape") {
			m.Text = strings.NewReplacer("\t", "#011", "\n", "#012", "\x01", "#001", "\r", "#015", "\x1b", "#033").Replace(m.Text)
		}
		if template {
			m.Tag, _, _ = strings.Cut(m.Tag, "/") // rsyslog's programname
		}
		if !syslogNG && !template && len(m.Tag) > 32 {
			m.Tag, m.PID = m.Tag[:32], 0
		}
		if strings.HasPrefix(name, "syslogng-syslog") || strings.Contains(name, "flag-syslog-protocol") {
			m.SequenceID = uint32(i + 1)
		}
	}
	return messages
}

// TestCaptures reads all that real senders were seen to write.
func TestCaptures(t *testing.T) {
	for _, name := range captureNames(t) {
		if strings.HasPrefix(name, "logger") || strings.Contains(name, "relp") {
			continue // tests of their own
		}
		t.Run(name, func(t *testing.T) {
			frames := readCapture(t, name).frames(t)
			want := expected(name)
			var got []header.Header
			var failures []string
			var p header.Parser
			for _, frame := range frames {
				var m header.Header
				if err := p.Parse(frame, false, &m); err != nil {
					failures = append(failures, frame)
					continue
				}
				checkStamp(t, name, m)
				got = append(got, m)
			}
			if lf := rawLineFeeds(name); lf {
				want[2].Text, _, _ = strings.Cut(want[2].Text, "\n")
				if len(failures) != 1 || !strings.HasPrefix(failures[0], "soh") {
					t.Errorf("unread: %q, want the rest of the message with the LF", failures)
				}
			} else if len(failures) > 0 {
				t.Errorf("unread: %q", failures)
			}
			want = cutLong(t, name, want, got)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(header.Header{}, "Time", "Stamp")); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// rawLineFeeds says whether the sender writes an LF within a message and
// frames by LF, which tears the message.
func rawLineFeeds(name string) bool {
	switch name {
	case "rsyslog-tcp-default-noescape.txt", "syslogng-network-tcp.txt", "syslogng-network-tcp-isodate.txt",
		"syslogng-network-tcp-flag-syslog-protocol.txt", "syslogng-network-tls.txt":
		return true
	}
	return false
}

// cutLong expects the long message to be cut where its sender cut it, and the
// short captures to be short.
func cutLong(t *testing.T, name string, want, got []header.Header) []header.Header {
	t.Helper()
	if len(got) < len(want) && strings.Contains(name, "rsyslog-tls") {
		want = want[:len(got)] // the driver was closed early
	}
	for i := range min(len(want), len(got)) {
		if n := len(got[i].Text); len(want[i].Text) > 8000 && n > 8000 && !strings.Contains(name, "64k") {
			want[i].Text = want[i].Text[:min(n, len(want[i].Text))]
		}
	}
	return want
}

func checkStamp(t *testing.T, name string, m header.Header) {
	t.Helper()
	from, to := time.Date(2026, 11, 23, 7, 33, 0, 0, time.UTC), time.Date(2026, 11, 23, 7, 40, 0, 0, time.UTC)
	stamp := header.StampFull
	if m.Time.Year() == 0 {
		stamp = header.StampLocal
		from, to = from.AddDate(-2026, 0, 0), to.AddDate(-2026, 0, 0)
	}
	if m.Stamp != stamp || m.Time.Before(from) || m.Time.After(to) {
		t.Errorf("%s: time %v (stamp %d) of %q", name, m.Time, m.Stamp, m.Text)
	}
}

// TestLoggerCaptures reads what util-linux's logger writes: its default has
// structured data.
func TestLoggerCaptures(t *testing.T) {
	for _, name := range captureNames(t) {
		if !strings.HasPrefix(name, "logger") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			frames := readCapture(t, name).frames(t)
			if len(frames) != 1 {
				t.Fatalf("%d frames", len(frames))
			}
			var got header.Header
			if err := new(header.Parser).Parse(frames[0], false, &got); err != nil {
				t.Fatalf("%q: %v", frames[0], err)
			}
			checkStamp(t, name, got)
			want := header.Header{
				Priority: 22, Host: "vm", Tag: "sendmail", PID: 17608,
				Text: "4ANJUBRC017608: from=<alice@example.org>, size=1234",
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(header.Header{}, "Time", "Stamp")); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}
