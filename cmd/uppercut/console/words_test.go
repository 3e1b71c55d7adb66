package console

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, grüße, 日本語":   "plain text, grüße, 日本語",
		"\x1b[31mred\x1b[0m":       `\x1b[31mred\x1b[0m`,
		"a\nb\tc\r\x00\x7f":        `a\x0ab\x09c\x0d\x00\x7f`,
		"\u0085\u009b31m":          `\u0085\u009b31m`,
		"user\u202egnp.exe":        `user\u202egnp.exe`,
		"\u2066\u2069\u200b\ufeff": `\u2066\u2069\u200b\ufeff`,
		"a\u2028b\u00a0c":          `a\u2028b\u00a0c`,
		"Z\u0351\u20dd":            `Z\u0351\u20dd`,
		"\u3164\u115f":             `\u3164\u115f`,
		"\xff\xc3(":                `\xff\xc3(`,
		"\ufffd":                   "\ufffd",
		"\U000e0041\U000f0000":     `\U000e0041\U000f0000`,
	} {
		if got := Visible(in); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add(hostile[:500])
	f.Fuzz(func(t *testing.T, s string) {
		got := Visible(s)
		if strings.ContainsFunc(got, hidden) || !utf8.ValidString(got) {
			t.Errorf("Visible(%q) = %q is not visible", s, got)
		}
		if again := Visible(got); again != got {
			t.Errorf("Visible is not idempotent: %q, then %q", got, again)
		}
	})
}

// Durations have one face: on the command line, on the page and in reports.
func TestRoundDuration(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 430 * time.Nanosecond: "0s", 430 * time.Microsecond: "430µs", 2900 * time.Microsecond: "3ms",
		59 * time.Second: "59s", 1550 * time.Millisecond: "1.6s", 61 * time.Second: "1m1s", 90 * time.Second: "1m30s",
		time.Hour: "1h", time.Hour + time.Second: "1h", 90 * time.Minute: "1h30m", 59*time.Minute + 59*time.Second + 900*time.Millisecond: "1h",
		day + 59*time.Second: "1d", 50 * time.Hour: "2d2h", 2*day - 15*time.Second: "2d", 400*day - time.Second: "400d",
		90*day + time.Hour: "90d1h", -time.Minute: "-1m",
	} {
		if got := RoundDuration(d); got != want {
			t.Errorf("RoundDuration(%v) = %q, want %q", d, got, want)
		}
	}
}

// What is written is read as the same.
func TestFormatDuration(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 100 * time.Millisecond: "100ms", 90 * time.Second: "1m30s", day: "1d", 36 * time.Hour: "1d12h",
		365 * day: "365d", day + time.Second: "1d1s", time.Minute + 1500*time.Millisecond: "1m1.5s",
	} {
		got := FormatDuration(d)
		if got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", d, got, want)
		}
		if back, err := ParseDuration(got); err != nil || back != d {
			t.Errorf("ParseDuration(%q) = %v, %v", got, back, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234", -123: "-123"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 294_811_202: "295 MB", 18e18: "18 EB"} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[uint64]string{99_999_999: "99,999,999", 184_220_118: "184.2 M", 12_345_678_901: "12.3 G"} {
		if got := short(n); got != want {
			t.Errorf("short(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	for want, at := range map[string]time.Time{
		"never": {}, "11:00:00": now.Add(-time.Hour), "Nov 22 12:00": now.Add(-24 * time.Hour), "2025-11-23 12:00": now.AddDate(-1, 0, 0),
	} {
		if got := clock(now, at); got != want {
			t.Errorf("clock(%v) = %q, want %q", at, got, want)
		}
	}
}

func TestClipCutsBetweenCharacters(t *testing.T) {
	if s := strings.Repeat("x", maxShown); clip(s) != s {
		t.Error("clip cuts what fits")
	}
	got := clip(strings.Repeat("x", maxShown-1) + strings.Repeat("é", 500))
	if want := strings.Repeat("x", maxShown-1) + " … (1,999 bytes)"; got != want {
		t.Errorf("clip: %q", got[maxShown-5:])
	}
}

func TestSentence(t *testing.T) {
	a, now := netip.MustParseAddr("203.0.113.9"), noon.Local()
	until := now.Add(time.Hour)
	block := &Block{Rule: "burst", Score: 12.5, Reason: "dnsbl", Until: until}
	at := until.Format("15:04:05")
	for _, tc := range []struct {
		name string
		why  Why
		want string
	}{
		{
			"blocked",
			Why{Block: block, Kernel: KernelState{Blocked: true}},
			"203.0.113.9 is blocked until " + at + ", for another 1h: rule burst fired at a score of 12.5, mostly for dnsbl.",
		},
		{
			"by hand",
			Why{Block: &Block{Rule: "manual", Author: "anna", Until: until}, Kernel: KernelState{Blocked: true}},
			"203.0.113.9 is blocked until " + at + ", for another 1h: manually, by anna.",
		},
		{
			"not in the kernel",
			Why{Block: block},
			"203.0.113.9 should be blocked until " + at + ", but the kernel does not block it; `uppercut firewall repair` fixes that.",
		},
		{
			"observing",
			Why{Block: block, NotEnforced: CauseObserve, Kernel: KernelState{Problem: "not asked"}},
			"203.0.113.9 would be blocked until " + at + ": rule burst fired at a score of 12.5, mostly for dnsbl. But mode is observe: nothing is dropped.",
		},
		{
			"suspended",
			Why{Block: block, NotEnforced: CauseSuspended},
			"203.0.113.9 would be blocked until " + at + ": rule burst fired at a score of 12.5, mostly for dnsbl. " +
				"But blocking is suspended: nothing is dropped until `uppercut resume`.",
		},
		{
			"in a hole",
			Why{Block: &Block{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Until: until}, Exempt: "allowlist"},
			"203.0.113.9 is not blocked: it is on the allow list. Its network 203.0.113.0/24 is blocked until " + at + ", except for this address.",
		},
		{
			"the kernel does not answer",
			Why{Block: block, Kernel: KernelState{Problem: "netlink: no buffer space"}},
			"203.0.113.9 is blocked until " + at + ", for another 1h: rule burst fired at a score of 12.5, mostly for dnsbl.",
		},
		{
			"only in the kernel",
			Why{Kernel: KernelState{Blocked: true, Left: Duration(time.Minute)}},
			"203.0.113.9 is blocked by the kernel for another 1m, but is not on the list; `uppercut firewall repair` fixes that.",
		},
		{
			"allowed",
			Why{Allowed: &Allowance{Prefix: netip.MustParsePrefix("203.0.113.0/24")}},
			"203.0.113.9 is not blocked and will not be: 203.0.113.0/24 is on the allow list.",
		},
		{"exempt", Why{Exempt: "resolver"}, "203.0.113.9 is not blocked and will not be: it is a DNS server of this gateway."},
		{"left alone", Why{LeftAloneUntil: until}, "203.0.113.9 is not blocked and its offences are not counted until " + at + "."},
		{
			"near a rule",
			Why{Rules: []RuleScore{{Rule: "burst", Score: 5, Limit: 10}, {Rule: "steady", Score: 30, Limit: 40}}},
			"203.0.113.9 is not blocked; its score is 30 of the 40 at which rule steady fires.",
		},
		{"unknown", Why{Rules: []RuleScore{{Rule: "burst", Limit: 10}}}, "203.0.113.9 is not blocked; no offences count against it."},
	} {
		tc.why.Addr = a
		if got := tc.why.Sentence(now); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func TestState(t *testing.T) {
	well := Status{Mode: "enforce", Ready: true, Enforcing: Families{true, true}, HostsSeen: 1}
	change := func(f func(*Status)) Status { s := well; f(&s); return s }
	for _, tc := range []struct {
		status      Status
		word, class string
		problems    int
	}{
		{well, "enforcing", "good", 0},
		{change(func(s *Status) { s.Mode, s.Enforcing = "observe", Families{} }), "observing", "mild", 0},
		{change(func(s *Status) { s.Enforcing.IPv6 = false }), "not enforcing", "bad", 1},
		{change(func(s *Status) { s.Enforcing.IPv4 = false }), "not enforcing", "bad", 1},
		{change(func(s *Status) { s.Suspended, s.Enforcing = true, Families{} }), "suspended", "bad", 1},
		{change(func(s *Status) { s.Ready, s.Checks = false, []Check{{"ledger", false, "disk full", ""}} }), "not ready", "bad", 1},
		{change(func(s *Status) { s.HostsSilent, s.BreakersOpen, s.Reload.Error = 2, 1, "x" }), "enforcing", "good", 3},
		{change(func(s *Status) {
			s.Refused = []RefusedCount{{"not in receiver.senders", 3}, {"certificate has expired", 1}}
			s.SendersNotUnderstood, s.HostsLosing = 1, 2
		}), "enforcing", "good", 4},
		{change(func(s *Status) {
			s.Ready, s.SendersNotUnderstood, s.Checks = false, 1, []Check{{"senders", false, "nothing is understood", ""}}
		}), "not ready", "bad", 1},
		{change(func(s *Status) { s.HostsSeen = 0 }), "enforcing", "good", 1},
		{Status{}, "unknown", "bad", 1},
	} {
		if word, class := tc.status.state(); word != tc.word || class != tc.class {
			t.Errorf("%+v: %s (%s), want %s (%s)", tc.status, word, class, tc.word, tc.class)
		}
		if got := tc.status.problems(); len(got) != tc.problems {
			t.Errorf("%+v: problems %v, want %d", tc.status, got, tc.problems)
		}
	}
}

func TestPagesShareAStatusUntilSomebodyActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		c := newConsole(DefaultConfig(), Options{Appliance: f})
		version := func() string {
			s, err := c.pageStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s.Version
		}
		first := version()
		f.status.Version = "second"
		<-time.After(statusLife - 1)
		if got := version(); got != first {
			t.Errorf("one nanosecond before: %s, want %s", got, first)
		}
		<-time.After(1)
		if got := version(); got != "second" {
			t.Errorf("after a second: %s, want second", got)
		}
		f.status.Version = "third"
		c.audit(httptest.NewRequest("POST", "/act", nil), "reload", Order{}, nil)
		if got := version(); got != "third" {
			t.Errorf("after an action: %s, want third", got)
		}
	})
}
