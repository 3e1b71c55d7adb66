package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/cmd/uppercut/console"
	"uppercut/metrics"
)

func TestSendersJoinWhatIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	a := &appliance{registry: reg, fleet: metrics.NewFleet(metrics.FleetConfig{
		Silence: time.Minute, Expect: []metrics.ExpectedHost{{Name: "mx2"}},
	}, reg)}
	perHost := func(name string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: "x"}, append([]string{"host"}, labels...))
		reg.MustRegister(g)
		return g
	}
	rejections := perHost("uppercut_rejections_total", "reason")
	rejections.WithLabelValues("mx1", "dnsbl").Set(3)
	rejections.WithLabelValues("mx1", "no_rdns").Set(4)
	perHost("uppercut_mail_accepted_total").WithLabelValues("mx1").Set(5)
	perHost("uppercut_host_clock_skew_seconds").WithLabelValues("mx1").Set(1.5)
	perHost("uppercut_breaker_open").WithLabelValues("mx1").Set(1)
	long := time.Now().Add(-time.Hour)
	a.fleet.Received("mx1", "192.0.2.1", "tcp", long, 9)

	got, err := a.Senders(t.Context())
	want := []console.Sender{
		{
			Host: "mx1", Sender: "192.0.2.1", Transport: "tcp", Last: time.Unix(0, long.UnixNano()), Silent: true, Messages: 9,
			Rejections: 7, Accepted: 5, Skew: console.Duration(1500 * time.Millisecond), BreakerOpen: true,
		},
		{Host: "mx2", Expected: true, Silent: true},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("senders (-want +got), %v:\n%s", err, diff)
	}

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	s := console.Status{Now: time.Now()}
	countHosts(a.fleet.Hosts(), families, &s)
	if s.HostsSeen != 1 || s.HostsSilent != 2 || s.BreakersOpen != 1 {
		t.Errorf("status: %d seen, %d silent, %d breakers open; want 1, 2, 1", s.HostsSeen, s.HostsSilent, s.BreakersOpen)
	}
}
