package appliance

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/receiver"
)

// openedBreaker is as much of an appliance as breakers take. That of mx2 is
// open, whose certificate says mx2.example.org.
func openedBreaker(t *testing.T) *Appliance {
	t.Helper()
	hosts, err := receiver.NewHosts(receiver.DefaultConfig(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := detector.New(detector.DefaultConfig(), detector.Options{HostLabel: hosts.Label})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := detector.NewReader(detector.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	log := func(n int, host, text string) {
		line := detector.Line{
			Number: uint64(n), Sender: host + ".example.org", Transport: "tls", Received: now, Time: now, Stamp: detector.StampFull,
			Host: host, Tag: "sendmail", PID: uint32(n),
		}
		reader.Read(&line, text)
		d.Observe(&line)
	}
	for i := range 8 {
		client, id := fmt.Sprintf("192.0.2.%d", i+1), fmt.Sprintf("6ANC0F3q00%04d", i)
		log(100+3*i, "mx1", fmt.Sprintf("%s: from=<a@b.example>, size=3000, class=0, nrcpts=1, msgid=<%d@b.example>, proto=ESMTP, daemon=MTA, relay=b.example [%s]", id, i, client))
		log(101+3*i, "mx1", id+": to=<u@a.example>, delay=00:00:00, xdelay=00:00:00, mailer=local, pri=31000, dsn=2.0.0, stat=Sent")
		log(102+3*i, "mx2", refused(client))
	}
	e, err := enforcer.New(t.Context(), enforcer.DefaultConfig(), enforcer.Options{StateDir: t.TempDir(), Observe: true})
	if err != nil {
		t.Fatal(err)
	}
	a := &Appliance{hosts: hosts, enforcer: e, pipeline: newPipeline(reader, d, func(detector.Verdict) {}, nil)}
	t.Cleanup(runUntilTheEnd(t, a))
	return a
}

// runUntilTheEnd runs the judge and the enforcer until stop.
func runUntilTheEnd(t *testing.T, a *Appliance) (stop func()) {
	t.Helper()
	done := make(chan struct{}, 2)
	ctx := t.Context()
	go func() { a.pipeline.run(); done <- struct{}{} }()
	go func() { _ = a.enforcer.Run(ctx); done <- struct{}{} }()
	return func() {
		a.pipeline.close()
		<-done
		<-done
	}
}

// A breaker is closed by the name under which events, metrics and `uppercut
// breakers` know the host, and by the one in its log lines.
func TestBreakerIsClosedByEitherName(t *testing.T) {
	for _, name := range []string{"mx2.example.org", "mx2"} {
		t.Run(name, func(t *testing.T) {
			a := openedBreaker(t)
			list, err := a.Breakers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(list, func(b console.Breaker) bool {
				return b.Open && b.Host == "mx2.example.org" && b.Claimed == "mx2" && b.SetAside > 0
			}) {
				t.Fatalf("breakers: %+v, want mx2.example.org open, with something set aside", list)
			}
			by := console.By{Author: "anna", Note: "mended"}
			if err := a.CloseBreaker(t.Context(), by, "mx3"); !errors.Is(err, console.ErrNotFound) {
				t.Errorf("of another host: %v", err)
			}
			if err := a.CloseBreaker(t.Context(), by, name); err != nil {
				t.Error(err)
			}
			if err := a.CloseBreaker(t.Context(), by, name); !errors.Is(err, console.ErrNotFound) {
				t.Errorf("once more: %v", err)
			}
		})
	}
}
