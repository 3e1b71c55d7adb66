package sendmail

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/detector/offence"
)

// seeds are corpus lines of every sort, the long and the hostile ones included.
func seeds(f *testing.F) []logLine {
	var all []logLine
	shapes := make(map[string]int)
	p, _ := NewParser(nil)
	for _, part := range []string{"real", "soup"} {
		for _, l := range readLog(f, part, "traditional") {
			var rec Record
			p.Parse(l.text, &rec)
			shape := fmt.Sprint(part, rec.Kind, rec.Reason, rec.Part)
			if shapes[shape]++; shapes[shape] <= 3 {
				all = append(all, l)
			}
		}
	}
	return all
}

// inLine says whether text holds addr where sendmail writes a client: in
// brackets, or behind the fixed words of tcpwrappers and Milter.
func inLine(text string, addr netip.Addr) bool {
	for rest := text; ; {
		i := strings.IndexByte(rest, '[')
		if i < 0 {
			break
		}
		if a, n := readBracket(rest[i:]); n > 0 && a == addr {
			return true
		}
		rest = rest[i+1:]
	}
	for _, words := range [...]string{"tcpwrappers (", "Milter: connect: host="} {
		if _, rest, ok := strings.Cut(text, words); ok {
			for field := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(" ,)=", r) }) {
				if barePeer(field) == addr {
					return true
				}
			}
		}
	}
	return false
}

// ownBeginnings are the beginnings of lines that may give an address: words of
// sendmail's own, or the client itself as sendmail writes it.
var ownBeginnings = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`ruleset=[\w.-]+, (?:arg1=|relay=)`, `from=`, `to=`, `AUTH failure \(`, `AUTH decode64 error \[`, `AUTH=server, relay=`,
	`STARTTLS=server, (?:error: accept failed=|relay=)`, `unauthorized PIPELINING`, `rejecting (?:server )?[\w.-]* from `, `rejecting commands from `,
	`lost input channel from `, `timeout waiting for input from \[`, `collect: relay=\[`, `headers too large \(\d* ?`,
	`setsender: `, `invalid domain name \(`, `tcpwrappers \(`, `Milter: connect: host=`, `"[\w.-]*" command from `,
	`connect from `, `Null connection from `,
	`(?:IDENT:)?(?:[\w!#$%&'*+./^{|}~` + "`" + `-]+@)?(?:[\w.-]{1,255} )?\[(?:[\d.]+|IPv6:[\da-fA-F:.]+)\](?: \(may be forged\))?(?: did not issue MAIL|: )`,
}, "|") + ")")

// FuzzParse: no panic, an address that is given stands in brackets in a line
// that begins with words of sendmail's own, and masking is idempotent.
func FuzzParse(f *testing.F) {
	for _, l := range seeds(f) {
		f.Add(l.text)
	}
	p, err := NewParser([]TextReason{{Text: "Spam trap hit", Reason: "rcpt_trap"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var rec Record
		p.Parse(text, &rec)
		if rec.Addr.IsValid() && !inLine(text, rec.Addr) {
			t.Errorf("%v is not in %q", rec.Addr, text)
		}
		if rec.Addr.IsValid() && !ownBeginnings.MatchString(rec.Body) {
			t.Errorf("%v is not given by sendmail: %q", rec.Addr, rec.Body)
		}
		if rec.Addr.Is4In6() || rec.Addr.Zone() != "" {
			t.Errorf("%v is not canonical", rec.Addr)
		}
		if rec.Kind == offence.LinePart && (rec.Addr.IsValid() || rec.Reason != offence.ReasonNone) {
			t.Errorf("a part was read alone: %+v", rec)
		}
		if rec.Count == 0 || rec.Text != text {
			t.Errorf("%+v", rec)
		}
		if hidden := Mask(text); Mask(hidden) != hidden {
			t.Errorf("mask: %q, then %q", hidden, Mask(hidden))
		}
	})
}

// FuzzMemory feeds a sequence of lines, "PID text" or "+SECONDS" each, of two
// hosts. No panic, and an address in an event stands in a line of the same host
// and process; what is held stays within its bounds.
func FuzzMemory(f *testing.F) {
	all := seeds(f)
	for i := range all {
		var script strings.Builder
		for _, l := range all[i:min(i+6, len(all))] {
			fmt.Fprintf(&script, "%d %s\n", l.pid, l.text)
		}
		f.Add(script.String())
	}
	f.Add("100 6AN8J300000100[1]: AUTH decode64 error [-5 for  ...\n+400\n100 6AN8J300000100[2]: x\"], relay=h [198.51.100.7]\n")
	f.Add("100 STARTTLS=server, error: accept failed=0\n+30\n100 6AN8J300000100: h [198.51.100.7]: VRFY x\n1100 <a@b>... User unknown\n")
	for _, k := range tunedKinds {
		text := k.fill("6AN8J300000100", "", 300)
		f.Add("100 " + text + "\n100 6AN8J300000100: " + client + ": VRFY x\n100 alias " + strings.Repeat("a", 400) + "\n100 " + text + k.rest + "\n")
	}
	f.Fuzz(func(t *testing.T, script string) {
		p, _ := NewParser(nil)
		m := NewMemory(MemoryOptions{MaxSessions: 8, MaxHeld: 16, MaxHeldPerSession: 4, MaxHeldBytes: 4096})
		now := time.Date(2026, 11, 23, 8, 19, 3, 0, time.UTC)
		texts := make(map[uint32]string)   // by process, and by the process that a queue id names
		writers := make(map[uint64]uint32) // of each line
		var number uint64
		for line := range strings.Lines(script) {
			line = strings.TrimSuffix(line, "\n")
			if seconds, ok := strings.CutPrefix(line, "+"); ok {
				n, _ := strconv.Atoi(seconds)
				now = now.Add(time.Duration(n) * time.Second)
				continue
			}
			word, text, _ := strings.Cut(line, " ")
			pid, _ := strconv.ParseUint(word, 10, 31)
			var rec Record
			p.Parse(text, &rec)
			number++
			by := rec.PID
			if by == 0 {
				by = uint32(pid)
			}
			texts[by] += text + "\n"
			writers[number] = by
			for _, e := range m.Observe(Input{Line: number, Time: now, Host: HostKeyOf("s", "h"), PID: uint32(pid), Record: &rec}, nil) {
				if !e.Addr.IsValid() || e.Session == 0 || e.Count == 0 || e.Line == 0 || e.Line > number {
					t.Fatalf("%+v", e)
				}
				if (e.Reason == offence.ReasonNone) == (e.Kind == offence.Offence) {
					t.Fatalf("%+v", e)
				}
				if by := writers[e.Line]; !rec.More && rec.Part == 0 && !inLine(texts[by], e.Addr) {
					t.Fatalf("%v is in no line of process %d: %q", e.Addr, by, texts[by])
				}
			}
			if s := m.Stats(); s.Sessions > 8 || s.Held > 16 || s.HeldBytes > 4096 || s.Held < 0 || s.HeldBytes < 0 {
				t.Fatalf("%+v", s)
			}
		}
	})
}
