package header

import "testing"

// TestContainerLinesThatGoOn: the rest of a line that a container runtime has
// split is nobody's line, whatever a client has put there.
func TestContainerLinesThatGoOn(t *testing.T) {
	const at, rest = "2026-11-30T12:00:00.123456789Z ", "sendmail[9]: ruleset=check_relay, relay=[192.0.2.66]"
	for _, test := range []struct {
		name  string
		lines []string
		want  []Header // of Tag, PID and Cut alone
	}{
		{
			"CRI",
			[]string{at + "stdout P sendmail[1]: x", at + "stdout P " + rest, at + "stdout F " + rest, at + "stdout F sendmail[2]: x"},
			[]Header{{Tag: "sendmail", PID: 1, Cut: true}, {Cut: true}, {Cut: true}, {Tag: "sendmail", PID: 2}},
		},
		{
			"CRI, two streams",
			[]string{at + "stdout P sendmail[1]: x", at + "stderr F sendmail[3]: x", at + "stdout F " + rest, at + "stderr F sendmail[4]: x"},
			[]Header{{Tag: "sendmail", PID: 1, Cut: true}, {Tag: "sendmail", PID: 3}, {Cut: true}, {Tag: "sendmail", PID: 4}},
		},
		{
			"json-file",
			[]string{
				`{"log":"sendmail[1]: x","stream":"stdout","time":"2026-11-30T12:00:00Z"}`,
				`{"log":"` + rest + `\n","stream":"stdout","time":"2026-11-30T12:00:00Z"}`,
				`{"log":"sendmail[2]: x\r\n","stream":"stdout","time":"2026-11-30T12:00:00Z"}`,
			},
			[]Header{{Tag: "sendmail", PID: 1, Cut: true}, {Cut: true}, {Tag: "sendmail", PID: 2}},
		},
	} {
		p := &Parser{Tags: ownTags}
		for i, line := range test.lines {
			var h Header
			if err := p.Parse(line, true, &h); err != nil {
				t.Fatalf("%s: %s: %v", test.name, line, err)
			}
			if got := (Header{Tag: h.Tag, PID: h.PID, Cut: h.Cut}); got != test.want[i] {
				t.Errorf("%s: %s: %+v, want %+v", test.name, line, got, test.want[i])
			}
		}
		if p.Open() != (Streams{}) {
			t.Errorf("%s: a line goes on at the end", test.name)
		}
	}
	p := &Parser{Tags: ownTags}
	p.Resume(Streams{Stdout: true})
	var h Header
	if err := p.Parse(at+"stdout F "+rest, true, &h); err != nil || h.Tag != "" {
		t.Errorf("after a part that another parser has read: %+v, %v", h, err)
	}
}

// TestJournalJSON: fields that occur twice or are too long, and texts that are
// not UTF-8.
func TestJournalJSON(t *testing.T) {
	for line, want := range map[string]Header{
		`{"__REALTIME_TIMESTAMP":"1796040000123456","SYSLOG_IDENTIFIER":["sendmail","x"],"SYSLOG_PID":"7","_PID":"8","MESSAGE":[99,97,102,233]}`: {Tag: "sendmail", PID: 7, Text: "caf\xe9"},
		`{"_SOURCE_REALTIME_TIMESTAMP":"1796040000123456","_COMM":"sm-mta","_PID":"8","MESSAGE":[[97,98],"c"]}`:                                  {Tag: "sm-mta", PID: 8, Text: "ab"},
	} {
		var h Header
		if err := (&Parser{}).Parse(line, true, &h); err != nil {
			t.Errorf("%s: %v", line, err)
		} else if got := (Header{Tag: h.Tag, PID: h.PID, Text: h.Text}); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{
		`{"__REALTIME_TIMESTAMP":"1796040000123456","SYSLOG_IDENTIFIER":"sendmail","MESSAGE":null}`,
		`{"__REALTIME_TIMESTAMP":"now","SYSLOG_IDENTIFIER":"sendmail","MESSAGE":"x"}`,
		`{"SYSLOG_IDENTIFIER":"sendmail","MESSAGE":"x"}`,
		`{"__REALTIME_TIMESTAMP":"1796040000123456","MESSAGE":[300]}`,
		`{"log":"sendmail[1]: x\n","stream":"stdout","time":"yesterday"}`,
		`{"hello":"world"}`,
		`{`,
	} {
		var h Header
		if err := (&Parser{}).Parse(line, true, &h); err == nil {
			t.Errorf("%s is read as %+v", line, h)
		}
	}
}
