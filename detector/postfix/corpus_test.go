package postfix

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"uppercut/detector/offence"
)

// truth is what the attackers know of a line: whose it is and what it is about.
type truth struct {
	N   int
	IP  string
	Cls string
}

func open(tb testing.TB, name string) io.Reader {
	tb.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

var corpora = []string{"postfix-3.7", "postfix-3.10"}

// corpus returns the texts of a log's lines, and the truth by their numbers.
func corpus(tb testing.TB, name, format string) (texts []string, truths map[int]truth) {
	tb.Helper()
	lines := bufio.NewScanner(open(tb, name+"."+format+".log.gz"))
	for lines.Scan() {
		texts = append(texts, textOfLine(tb, lines.Text(), format))
	}
	truths = map[int]truth{}
	rows := json.NewDecoder(open(tb, name+".truth.jsonl.gz"))
	for {
		var t truth
		if err := rows.Decode(&t); err == io.EOF {
			return texts, truths
		} else if err != nil {
			tb.Fatal(err)
		}
		truths[t.N] = t
	}
}

// textOfLine cuts off the header that rsyslogd writes: seven fields before the text
// in RFC 5424, else what ends with the tag.
func textOfLine(tb testing.TB, line, format string) string {
	if format != "rfc5424" {
		_, text, ok := strings.Cut(line, "]: ")
		if !ok {
			tb.Fatalf("%q has no tag", line)
		}
		return strings.TrimPrefix(text, " ")
	}
	fields := strings.SplitN(line, " ", 8)
	if len(fields) < 8 {
		tb.Fatalf("%q has no header", line)
	}
	return strings.TrimLeft(fields[7], " ")
}

// classes are the reasons that a class of the attackers' may be read as.
var classes = map[string][]offence.Reason{
	"sender":          {offence.SenderAccess},
	"tempfail":        {offence.AccessDenied, offence.MilterReject, offence.AccessReject},
	"access":          {offence.AccessDenied},
	"syntax":          {offence.RcptSyntax, offence.BadSenderSyntax},
	"auth_mechanism":  {offence.Other},
	"bogus_cmd":       {offence.BogusCmd, offence.OpenProxy, offence.BadCommand},
	"ehlo_pipelining": {offence.EHLOPipelining},
	"bad_command":     {offence.BadCommand, offence.BogusCmd, offence.OpenProxy},
}

// TestCorpus: each offence of each corpus is read as what it is, of its client;
// nothing is read as another's. Only a header that looks like the end of its line
// may hide its client.
func TestCorpus(t *testing.T) {
	for _, name := range corpora {
		for _, format := range []string{"traditional", "iso", "rfc5424"} {
			t.Run(name+"/"+format, func(t *testing.T) { testCorpus(t, name, format) })
		}
	}
}

func testCorpus(t *testing.T, name, format string) {
	texts, truths := corpus(t, name, format)
	offences, hidden := 0, 0
	for i, text := range texts {
		var rec offence.Record
		Program{}.Parse(text, &rec)
		want, known := truths[i+1]
		if rec.Addr.IsValid() && !rec.Addr.IsLoopback() && (!known || rec.Addr.String() != want.IP) {
			t.Errorf("line %d is %v's, read as %v's: %s", i+1, want.IP, rec.Addr, text)
		}
		if !known {
			continue
		}
		if rec.Reason == offence.ReasonNone && want.Cls == "header_reject" && strings.Count(text, envelope) > 1 {
			hidden++
			continue
		}
		if !right(want.Cls, &rec) {
			t.Errorf("line %d is %s, read as %v %v: %s", i+1, want.Cls, rec.Kind, rec.Reason, text)
		}
		if rec.Reason != offence.ReasonNone {
			offences++
		}
	}
	t.Logf("%d lines, %d offences, %d hidden by a header that looks like the end of its line", len(texts), offences, hidden)
	if offences+hidden < 300 || hidden > 7 {
		t.Errorf("%d offences, %d hidden", offences, hidden)
	}
}

func right(class string, rec *offence.Record) bool {
	switch class {
	case "none":
		return rec.Reason == offence.ReasonNone
	case "accepted":
		return rec.Kind == offence.LineFrom
	case "auth":
		return rec.Kind == offence.LineAuth
	}
	if class == "tempfail" && !rec.Temporary {
		return false
	}
	if list, ok := classes[class]; ok {
		return slices.Contains(list, rec.Reason)
	}
	return rec.Reason.String() == class && rec.Addr.IsValid()
}
