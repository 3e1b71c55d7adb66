package detector

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/detector/sendmail"
)

// parseLine reads "TIME HOST TAG[PID]: TEXT" with an RFC 3339 time.
func parseLine(t testing.TB, p *sendmail.Parser, text string, l *Line) {
	t.Helper()
	stamp, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		t.Fatal(err)
	}
	host, rest, _ := strings.Cut(rest, " ")
	tag, body, ok := strings.Cut(rest, ": ")
	if !ok {
		t.Fatalf("no tag in %q", text)
	}
	*l = Line{Time: at, Received: at, Stamp: StampFull, Host: host, Transport: "file"}
	l.Tag, tag, _ = strings.Cut(tag, "[")
	if pid, err := strconv.ParseUint(strings.TrimSuffix(tag, "]"), 10, 32); err == nil {
		l.PID = uint32(pid)
	}
	p.Parse(body, &l.Record)
}
