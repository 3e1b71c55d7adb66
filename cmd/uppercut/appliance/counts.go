package appliance

import (
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// counts are gathered metrics.
type counts []*dto.MetricFamily

// sum adds up the samples of a counter or gauge with these labels, given as
// name, value, name, value.
func (c counts) sum(name string, labels ...string) (sum float64) {
	for _, family := range c {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if hasLabels(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// byHost adds up the samples of a counter for each value of the label host.
func (c counts) byHost(name string) map[string]float64 {
	sums := make(map[string]float64)
	for _, family := range c {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "host" {
					sums[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sums
}

func hasLabels(m *dto.Metric, labels []string) bool {
	for pair := range slices.Chunk(labels, 2) {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool {
			return l.GetName() == pair[0] && l.GetValue() == pair[1]
		}) {
			return false
		}
	}
	return true
}

// quantile is the upper bound of the bucket in which the quantile q of a
// histogram lies; 0 while it is empty.
func (c counts) quantile(name string, q float64) time.Duration {
	i := slices.IndexFunc(c, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	if i < 0 || len(c[i].GetMetric()) == 0 {
		return 0
	}
	h := c[i].GetMetric()[0].GetHistogram()
	wanted := q * float64(h.GetSampleCount())
	if wanted == 0 {
		return 0
	}
	for _, bucket := range h.GetBucket() {
		if float64(bucket.GetCumulativeCount()) >= wanted {
			return time.Duration(bucket.GetUpperBound() * float64(time.Second))
		}
	}
	return 0
}
