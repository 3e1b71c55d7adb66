package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSoak soaks for a moment, at a small rate.
func TestSoak(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := run(ctx, []string{"-uppercut", buildUppercut(t), "-soak", "3s", "-rate", "500"}, &out, io.Discard); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "second quarter") {
		t.Errorf("the quarters are not compared:\n%s", out.String())
	}
	if !regexp.MustCompile(`(?m)^\| \ds \| 1,500 \|.* 0 \| 0 \|$`).MatchString(out.String()) {
		t.Errorf("the last sample does not say that 1,500 were judged and none lost:\n%s", out.String())
	}
}

// flat are the samples of a soak in which nothing grows.
func flat() []sample {
	samples := make([]sample, 60)
	for i := range samples {
		samples[i] = sample{judged: float64(1000 * i), resident: 100, goroutines: 30, sources: 1000, blocks: 10}
	}
	return samples
}

func TestSteady(t *testing.T) {
	tests := []struct {
		name   string
		change func(i int, s *sample)
		want   string // in the error; "" for none
	}{
		{"flat", func(int, *sample) {}, ""},
		{"grows while it warms up", func(i int, s *sample) { s.resident = min(float64(20*i), 200) }, ""},
		{"grows by a twentieth", func(i int, s *sample) { s.resident = 2000 + float64(i) }, ""},
		{"memory", func(i int, s *sample) { s.resident = 100 + float64(i) }, "memory grows: 122 MB, then 152 MB"},
		{"one high sample", func(i int, s *sample) { s.resident += float64(500 * (i / 59)) }, ""},
		{"goroutines", func(i int, s *sample) { s.goroutines = 30 + float64(i/5) }, "goroutines grow"},
		{"drift", func(i int, s *sample) { s.drift = float64(i / 50) }, "drift: 1"},
		{"no work", func(_ int, s *sample) { s.blocks = 0 }, "nobody was blocked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			samples := flat()
			for i := range samples {
				test.change(i, &samples[i])
			}
			complain(t, steady(samples), test.want)
		})
	}
	complain(t, steady(flat()[:3]), "too few samples")
}

func TestNothingLost(t *testing.T) {
	complain(t, nothingLost(1000, sample{judged: 1000}), "")
	complain(t, nothingLost(1000, sample{judged: 999}), "1000 sent, 999 judged")
	complain(t, nothingLost(1000, sample{judged: 1000, lost: 1}), "1 counted as dropped")
}

func TestKeptPace(t *testing.T) {
	complain(t, keptPace(10*time.Second+900*time.Millisecond, 10*time.Second), "")
	complain(t, keptPace(12*time.Second, 10*time.Second), "not kept pace")
}

// complain checks that err says what it should.
func complain(t *testing.T, err error, want string) {
	t.Helper()
	if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// TestSoakStamps: every round of the log carries the time at which it is sent,
// and is whole.
func TestSoakStamps(t *testing.T) {
	hosts := soakHosts(100)
	if len(hosts) != liveHosts {
		t.Fatalf("%d hosts", len(hosts))
	}
	h := hosts[0]
	before := len(h.stream)
	sink := &recorder{}
	h.carrier = streamCarrier(sink)
	stamp := "2031-01-02T03:04:05.000000+00:00"
	if err := h.send(len(h.ends)+10, stamp); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(sink.String(), ">1 "+stamp+" mx"); n != len(h.ends)+10 || h.sent != n {
		t.Errorf("%d of %d messages are stamped, %d sent", n, len(h.ends)+10, h.sent)
	}
	if len(h.stream) != before || !strings.HasPrefix(sink.String()[before:], sink.String()[:100]) {
		t.Error("the second round does not begin as the first did")
	}
}

func TestSoakStopsWhenASenderFails(t *testing.T) {
	h := soakHosts(100)[0]
	h.carrier = streamCarrier(&recorder{err: errors.New("gone")})
	complain(t, h.run(t.Context(), 1000, time.Minute), "gone")
}
