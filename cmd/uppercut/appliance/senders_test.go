package appliance

import (
	"fmt"
	"net"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/receiver"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
)

// TestHostsBehindARelay: hosts that log through one address are listed and
// counted one by one, and so is one that should log and does not.
func TestHostsBehindARelay(t *testing.T) {
	a := openedBreaker(t)
	config := receiver.DefaultConfig()
	config.UDP, config.TCP = nil, []string{"127.0.0.1:0"}
	config.Hosts = []receiver.HostConfig{{Name: "mx1"}, {Name: "mx2"}, {Name: "mx9"}}
	a.registry = prometheus.NewRegistry()
	rejections := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "uppercut_rejections_total", Help: "x"}, []string{"host"})
	a.registry.MustRegister(rejections)
	rejections.WithLabelValues("mx1").Add(5)
	rejections.WithLabelValues("mx2").Add(7)
	var err error
	if a.receiver, err = receiver.New(config, receiver.Options{Handle: func([]receiver.Message, func(), func()) {}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- a.receiver.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	conn, err := net.Dial("tcp", a.receiver.Addrs(receiver.TCP)[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for i := range 30 {
		if _, err := fmt.Fprintf(conn, "<22>1 2026-11-23T08:13:28Z mx%d sendmail 1 - - x\n", 1+i%2); err != nil {
			t.Fatal(err)
		}
	}
	var list []console.Sender
	waitFor(t, 10*time.Second, "all lines are counted", func() bool {
		if list, err = a.Senders(t.Context()); err != nil {
			t.Fatal(err)
		}
		var messages uint64
		for _, s := range list {
			messages += s.Messages
		}
		return messages == 30
	})
	want := []console.Sender{
		{Host: "mx1", Sender: "127.0.0.1", Transport: "tcp", Expected: true, Messages: 15, Rejections: 5},
		{Host: "mx2", Sender: "127.0.0.1", Transport: "tcp", Expected: true, Messages: 15, Rejections: 7},
		{Host: "mx9", Expected: true},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(console.Sender{}, "Last", "Skew")); diff != "" {
		t.Errorf("senders (-want +got):\n%s", diff)
	}
	var s console.Status
	if err := a.countHosts(t.Context(), &s, nil); err != nil {
		t.Fatal(err)
	}
	if s.HostsSeen != 2 || s.HostsUnseen != 1 || s.HostsSilent != 0 {
		t.Errorf("status counts %d seen, %d unseen, %d silent", s.HostsSeen, s.HostsUnseen, s.HostsSilent)
	}
}
