package replay

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/appliance"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
	"uppercut/receiver"
	"uppercut/receiver/header"
)

// cutSession is a session of 198.51.100.7, who fills a line with so much text
// that it ends, cut at limit bytes from the start of its frame, in 192.0.2.66.
func cutSession(head, text string, limit int) []string {
	const id = "6AUCpW00003000"
	head = fmt.Sprintf(head, 3000)
	text = strings.Replace(text, "QID", id, 1)
	filler := limit - len(head) - len(text) + len("%s")
	_, behind, user := strings.Cut(text, ", user=%s")
	if filler < 1 || user && filler+len(behind) > 64 { // where sendmail cuts the name
		return nil
	}
	frames := []string{
		head + id + ": <n1@lab.example>... User unknown",
		head + strings.Replace(text, "%s", strings.Repeat("u", filler), 1),
		head + id + ": h.example [198.51.100.7] did not issue MAIL/EXPN/VRFY/ETRN during connection to MTA",
	}
	for i, f := range frames {
		frames[i] = f[:min(len(f), limit)]
	}
	return frames
}

// Lines that are cut on their way, at whatever length, block nobody innocent:
// neither live, with frames as several daemons send them, nor in a replay.
func TestCutOnTheWay(t *testing.T) {
	texts := map[string]string{
		"decode64":   `QID: AUTH decode64 error [-5 for "%s"], relay=v.example [192.0.2.66]`,
		"cram":       "QID: AUTH failure (CRAM-MD5): user not found (-20) SASL(-13): user not found: user: %s, relay=[192.0.2.66]",
		"user":       "QID: AUTH failure (LOGIN): user not found (-20) SASL(-13): user not found: checkpass failed, user=%s, relay=[192.0.2.66]",
		"recipient":  "QID: STARTTLS=server, error: accept failed=-1, reason=%s, SSL_error=1, errno=0, retry=-1, relay=v.example [192.0.2.66]",
		"message id": `QID: from=<"%s"@b.example>, size=1470, class=0, nrcpts=1, msgid=<a@b>, proto=ESMTP, daemon=MTA, relay=[192.0.2.66]`,
		"header":     "QID: ruleset=CheckSubject, arg1= casino %s, relay=[192.0.2.66], reject=550",
		"helo":       "QID: invalid domain name (%s) from v.example [192.0.2.66]",
		"sender":     "QID: setsender: <%s>: invalid or unparsable, received from [192.0.2.66]",
		"command":    "ruleset=check_other, arg1=FOO %s, arg2=5, relay=[192.0.2.66], reject=421 4.7.0 bad command",
	}
	for from, head := range map[string]string{
		"FreeBSD":          "<22>Nov 30 12:00:00 sm-mta[%d]: ",
		"FreeBSD, relayed": "<22>Nov 30 12:00:00 Forwarded from mx1: sm-mta[%d]: ",
		"AIX":              "<22>Nov 30 12:00:00 Message forwarded from mx1: sm-mta[%d]: ",
		"rsyslog":          "<22>1 2026-11-30T12:00:00.123456+00:00 mx1 sm-mta %d - - ",
		"file":             "Nov 30 12:00:00 mx1 sm-mta[%d]: ",
	} {
		for name, text := range texts {
			t.Run(from+" "+name, func(t *testing.T) {
				appliance := newLiveReader(t)
				for limit := 60; limit < 1200; limit++ {
					frames := cutSession(head, text, limit)
					if frames == nil {
						continue
					}
					events := appliance.hear(limit, frames)
					if limit%101 == 0 { // a replay takes a thousand times as long
						events = append(events, replayed(t, frames)...)
					}
					for _, addr := range events {
						if addr != "198.51.100.7" {
							t.Fatalf("cut at %d: %s: %q", limit, addr, frames)
						}
					}
					if limit > 300 && len(events) < 2 {
						t.Fatalf("cut at %d: %q: %q", limit, events, frames)
					}
				}
			})
		}
	}
}

// Where nothing else of their sessions comes, lines that are cut name nobody,
// however many there are.
func TestOnlyCutLines(t *testing.T) {
	var frames []string
	for pid := 3000; pid < 3020; pid++ {
		head := fmt.Sprintf(`<22>Nov 30 12:00:00 sm-mta[%d]: 6AN8J3p600%d: AUTH decode64 error [-5 for "`, pid, pid)
		const end = `"], relay=victim.example [192.0.2.66]`
		frames = append(frames, head+strings.Repeat("x", 480-len(head)-len(end))+end)
	}
	for how, addrs := range map[string][]string{"live": newLiveReader(t).hear(0, frames), "in a file": replayed(t, frames)} {
		if len(addrs) != 0 {
			t.Errorf("%s: %q", how, addrs)
		}
	}
}

// liveReader reads frames as the running appliance does.
type liveReader struct {
	headers  header.Parser
	reader   *detector.Reader
	detector *detector.Detector
	lines    uint64
	addrs    []string
}

func newLiveReader(t *testing.T) *liveReader {
	t.Helper()
	r := new(liveReader)
	r.detector = addressDetector(t, &r.addrs)
	var err error
	if r.reader, err = detector.NewReader(detector.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	return r
}

// hear returns whom the events of some frames of a sender are about.
func (r *liveReader) hear(sender int, frames []string) []string {
	r.addrs = nil
	now := time.Date(2026, 11, 30, 12, 0, 1, 0, time.UTC)
	for _, frame := range frames {
		m := receiver.Message{Sender: fmt.Sprint("sender", sender), Received: now, Size: len(frame)}
		if r.headers.Parse(frame, true, &m.Header) != nil {
			continue
		}
		var l detector.Line
		appliance.FillLine(&l, &m, r.reader)
		r.lines++
		l.Number = r.lines
		r.detector.Observe(&l)
	}
	r.detector.Tick(now.Add(sendmail.SettleAfter))
	return r.addrs
}

// addressDetector appends whom each event is about to addrs.
func addressDetector(t *testing.T, addrs *[]string) *detector.Detector {
	t.Helper()
	c := detector.DefaultConfig()
	c.MaxSources, c.EvidenceBytes = 1000, leastEvidence
	d, err := detector.New(c, detector.Options{OnEvent: func(_ *detector.Line, e *offence.Event) {
		*addrs = append(*addrs, e.Addr.String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// replayed returns whom they are about if they stand in a file.
func replayed(t *testing.T, frames []string) (addrs []string) {
	t.Helper()
	d := addressDetector(t, &addrs)
	in := &input{paths: []string{"-"}, stdin: bytes.NewReader([]byte(strings.Join(frames, "\n") + "\n")), zone: time.UTC}
	if err := in.each(t.Context(), detector.DefaultConfig(), func(l *detector.Line) { d.Observe(l) }); err != nil {
		t.Fatal(err)
	}
	d.Tick(theEnd)
	return addrs
}
