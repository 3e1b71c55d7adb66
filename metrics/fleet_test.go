package metrics

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var start = time.Unix(1_700_000_000, 0)

func TestFleetKnowsWhoLogsAndWhoShould(t *testing.T) {
	f := NewFleet(FleetConfig{
		Silence: time.Hour,
		Expect:  []ExpectedHost{{Name: "mx1", Silence: 5 * time.Minute}, {Name: "mx2"}},
	}, nil)
	f.Received("mx1", "192.0.2.1", "udp", start, 3)
	f.Received("mx1", "192.0.2.2", "tls", start.Add(time.Second), 2)
	f.Received("mx1", "192.0.2.2", "tls", start, 1) // late: the newest stays
	f.Received("mx9", "192.0.2.9", "tcp", start, 1)
	want := []Host{
		{Name: "mx1", Sender: "192.0.2.2", Transport: "tls", Last: start.Add(time.Second), Messages: 6, Expected: true, Silence: 5 * time.Minute},
		{Name: "mx2", Expected: true, Silence: time.Hour},
		{Name: "mx9", Sender: "192.0.2.9", Transport: "tcp", Last: start, Messages: 1, Silence: time.Hour},
	}
	if diff := cmp.Diff(want, f.Hosts()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	wantMetrics := `
		# HELP uppercut_host_expected 1 for every host listed in the configuration.
		# TYPE uppercut_host_expected gauge
		uppercut_host_expected{host="mx1"} 1
		uppercut_host_expected{host="mx2"} 1
		# HELP uppercut_host_last_message_timestamp_seconds Receive time of the newest message from this host.
		# TYPE uppercut_host_last_message_timestamp_seconds gauge
		uppercut_host_last_message_timestamp_seconds{host="mx1"} 1.700000001e+09
		uppercut_host_last_message_timestamp_seconds{host="mx9"} 1.7e+09
		# HELP uppercut_host_messages_total Syslog messages received per sending host.
		# TYPE uppercut_host_messages_total counter
		uppercut_host_messages_total{host="mx1"} 6
		uppercut_host_messages_total{host="mx2"} 0
		uppercut_host_messages_total{host="mx9"} 1
		# HELP uppercut_host_silence_threshold_seconds Configured silence after which this host counts as silent.
		# TYPE uppercut_host_silence_threshold_seconds gauge
		uppercut_host_silence_threshold_seconds{host="mx1"} 300
		uppercut_host_silence_threshold_seconds{host="mx2"} 3600
		uppercut_host_silence_threshold_seconds{host="mx9"} 3600
	`
	if err := testutil.CollectAndCompare(f, strings.NewReader(wantMetrics)); err != nil {
		t.Error(err)
	}
}

func TestSilent(t *testing.T) {
	for _, tc := range []struct {
		name string
		host Host
		want bool
	}{
		{"just in time", Host{Last: start, Silence: time.Minute}, false},
		{"one nanosecond late", Host{Last: start.Add(-1), Silence: time.Minute}, true},
		{"nobody minds", Host{Last: start.Add(-time.Hour)}, false},
		{"never heard of", Host{Expected: true, Silence: time.Minute}, true},
		{"never heard of nor expected", Host{Silence: time.Minute}, false},
	} {
		if got := tc.host.Silent(start.Add(time.Minute)); got != tc.want {
			t.Errorf("%s: %t, want %t", tc.name, got, tc.want)
		}
	}
}

func TestFleetReconfigureKeepsCounts(t *testing.T) {
	f := NewFleet(FleetConfig{Expect: []ExpectedHost{{Name: "mx1"}, {Name: "mx2"}}}, prometheus.NewRegistry())
	f.Received("mx1", "192.0.2.1", "udp", start, 3)
	f.Reconfigure(FleetConfig{Expect: []ExpectedHost{{Name: "mx3"}}})
	want := []Host{
		{Name: "mx1", Sender: "192.0.2.1", Transport: "udp", Last: start, Messages: 3},
		{Name: "mx3", Expected: true},
	}
	if diff := cmp.Diff(want, f.Hosts()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
}

func TestFleetCountsFromManyGoroutines(t *testing.T) {
	f := NewFleet(DefaultFleetConfig(), nil)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 1000 {
				f.Received(fmt.Sprintf("mx%d", i%10), fmt.Sprintf("192.0.2.%d", g), "udp", start.Add(time.Duration(i)), 1)
			}
		})
	}
	all.Wait()
	for _, h := range f.Hosts() {
		if h.Messages != 800 {
			t.Errorf("%s: %d messages, want 800", h.Name, h.Messages)
		}
	}
}

func TestFleetConfigValidate(t *testing.T) {
	for want, c := range map[string]FleetConfig{
		"":                                     DefaultFleetConfig(),
		"silence: 1s is not 1m to 720h, nor 0": {Silence: time.Second},
		`expect[0].name: "" is empty or listed twice`:          {Expect: []ExpectedHost{{}}},
		`expect[1].name: "mx1" is empty or listed twice`:       {Expect: []ExpectedHost{{Name: "mx1"}, {Name: "mx1"}}},
		"expect[0].silence: 721h0m0s is not 1m to 720h, nor 0": {Expect: []ExpectedHost{{Name: "mx1", Silence: 721 * time.Hour}}},
	} {
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

func BenchmarkFleetReceived(b *testing.B) {
	f := NewFleet(DefaultFleetConfig(), nil)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f.Received("mx1", "192.0.2.1", "udp", start, 1)
		}
	})
}
