package logfile

import (
	"testing"
	"time"
)

var berlin = time.FixedZone("CET", 3600)

func TestCalendar(t *testing.T) {
	tests := map[string]struct {
		modified string
		lines    []string // MM-DD
		want     []string // YYYY-MM-DD
	}{
		"this year": {
			"2026-11-23", []string{"11-01", "11-23"}, []string{"2026-11-01", "2026-11-23"},
		},
		"last year": {
			"2026-01-03", []string{"12-28", "12-31"}, []string{"2025-12-28", "2025-12-31"},
		},
		"New Year inside the file": {
			"2026-01-03",
			[]string{"12-28", "12-31", "01-01", "01-02"},
			[]string{"2025-12-28", "2025-12-31", "2026-01-01", "2026-01-02"},
		},
		"a straggler after New Year": {
			"2026-01-03",
			[]string{"12-31", "01-01", "12-31", "01-01"},
			[]string{"2025-12-31", "2026-01-01", "2025-12-31", "2026-01-01"},
		},
		"ten quiet months": {
			"2026-12-01", []string{"01-05", "11-30"}, []string{"2026-01-05", "2026-11-30"},
		},
		"ten quiet months over New Year": {
			"2026-12-01", []string{"12-05", "11-20"}, []string{"2025-12-05", "2026-11-20"},
		},
		"a clock that lost its year": {
			"2026-11-23", []string{"11-20", "01-01", "11-21"}, []string{"2026-11-20", "2026-01-01", "2026-11-21"},
		},
		"the clock of the host is ahead of the file's": {
			"2026-11-23", []string{"11-24"}, []string{"2026-11-24"},
		},
		"leap day": {
			"2024-03-01", []string{"02-28", "02-29", "03-01"}, []string{"2024-02-28", "2024-02-29", "2024-03-01"},
		},
		"leap day, copied later": {
			"2026-11-23", []string{"02-29", "03-01"}, []string{"2024-02-29", "2024-03-01"},
		},
		"leap day in the middle of a copy": {
			"2026-11-23", []string{"02-29", "02-29"}, []string{"2024-02-29", "2024-02-29"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			modified, err := time.ParseInLocation(time.DateOnly, test.modified, berlin)
			if err != nil {
				t.Fatal(err)
			}
			c := NewCalendar(modified, berlin)
			for i, line := range test.lines {
				at, err := time.Parse("01-02", line)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.Place(at).Format(time.DateOnly); got != test.want[i] {
					t.Errorf("line %d, %s: %s, want %s", i, line, got, test.want[i])
				}
			}
		})
	}
}

func TestCalendarZone(t *testing.T) {
	c := NewCalendar(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), berlin)
	got := c.Place(time.Date(0, 11, 23, 9, 30, 0, 0, time.UTC)).UTC()
	if want := time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestCalendarKnowsSummerTime: the clock goes from 2 to 3 on 29 March and from
// 3 to 2 on 25 October.
func TestCalendarKnowsSummerTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c := NewCalendar(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), zone)
	for _, test := range []struct{ line, want string }{
		{"03-29 01:59:59", "2026-03-29T00:59:59Z"},
		{"03-29 03:00:00", "2026-03-29T01:00:00Z"},
		{"03-29 03:59:00", "2026-03-29T01:59:00Z"},
		{"10-25 01:59:59", "2026-10-24T23:59:59Z"},
		{"10-25 03:00:00", "2026-10-25T02:00:00Z"},
	} {
		at, err := time.Parse("01-02 15:04:05", test.line)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Place(at).UTC().Format(time.RFC3339); got != test.want {
			t.Errorf("%s: %s, want %s", test.line, got, test.want)
		}
	}
}
