package main

import (
	"context"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/metrics"
	"uppercut/receiver"
)

// received counts messages by mail host and sends them to be judged. It is the
// receiver.Handler.
func (a *appliance) received(messages []receiver.Message, judged func()) {
	for first := 0; first < len(messages); {
		m := &messages[first]
		next := first + 1
		for next < len(messages) && messages[next].Host == m.Host && messages[next].Sender == m.Sender {
			next++
		}
		a.fleet.Received(a.hosts.label(m.Sender, m.Host), m.Sender, m.Transport.String(), m.Received, next-first)
		first = next
	}
	a.pipeline.handle(messages, judged)
}

// Senders implements console.Reader.
func (a *appliance) Senders(context.Context) ([]console.Sender, error) {
	families, err := a.registry.Gather()
	if err != nil {
		return nil, err
	}
	n, now := counts(families), time.Now()
	rejections, accepted := n.byHost("uppercut_rejections_total"), n.byHost("uppercut_mail_accepted_total")
	skew, open := n.byHost("uppercut_host_clock_skew_seconds"), n.byHost("uppercut_breaker_open")
	var senders []console.Sender
	for _, h := range a.fleet.Hosts() {
		senders = append(senders, console.Sender{
			Host: h.Name, Sender: h.Sender, Transport: h.Transport, Last: h.Last,
			Expected: h.Expected, Silent: h.Silent(now), Messages: h.Messages,
			Rejections: uint64(rejections[h.Name]), Accepted: uint64(accepted[h.Name]),
			Skew:        console.Duration(time.Duration(skew[h.Name] * float64(time.Second)).Round(time.Millisecond)),
			BreakerOpen: open[h.Name] > 0,
		})
	}
	return senders, nil
}

// byHost adds up the samples of a counter or gauge by mail host.
func (c counts) byHost(name string) map[string]float64 {
	sums := make(map[string]float64)
	for _, family := range c {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "host" {
					sums[l.GetValue()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sums
}

// countHosts fills in what is known of the mail hosts.
func countHosts(hosts []metrics.Host, n counts, s *console.Status) {
	for _, h := range hosts {
		if h.Messages > 0 {
			s.HostsSeen++
		}
		if h.Silent(s.Now) {
			s.HostsSilent++
		}
	}
	s.BreakersOpen = int(n.sum("uppercut_breaker_open"))
}
