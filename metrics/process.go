package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mode exports whether decisions reach the firewall.
type Mode struct{ dryRun prometheus.Gauge }

// NewMode registers the metric with reg; nil keeps it unregistered. It says
// "enforcing" until Observe.
func NewMode(reg prometheus.Registerer) *Mode {
	m := &Mode{prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "uppercut_dry_run",
		Help: "1 when decisions are made but not written to the firewall.",
	})}
	register(reg, m.dryRun)
	return m
}

// Observe says whether the appliance only observes.
func (m *Mode) Observe(only bool) {
	m.dryRun.Set(0)
	if only {
		m.dryRun.Set(1)
	}
}

// Reload remembers how loading the configuration went.
type Reload struct {
	successful, successTime prometheus.Gauge

	mu   sync.Mutex
	last Outcome
}

// Outcome is how the last load of the configuration went.
type Outcome struct {
	// At is when it was tried; zero if never.
	At time.Time
	// Success is when it last went well; zero if never.
	Success time.Time
	// Err is what was wrong, nil if nothing was.
	Err error
}

// NewReload registers the metrics with reg; nil keeps them unregistered.
func NewReload(reg prometheus.Registerer) *Reload {
	r := &Reload{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_config_last_reload_successful",
			Help: "1 when the last configuration reload succeeded.",
		}),
		successTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_config_last_reload_success_timestamp_seconds",
			Help: "Time of the last successful configuration reload.",
		}),
	}
	register(reg, r.successful, r.successTime)
	return r
}

// Done records a load that ended at now with err, nil for success. The load at
// start counts.
func (r *Reload) Done(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.At, r.last.Err = now, err
	if err != nil {
		r.successful.Set(0)
		return
	}
	r.last.Success = now
	r.successful.Set(1)
	r.successTime.Set(float64(now.UnixMilli()) / 1000)
}

// Last returns how the last load went.
func (r *Reload) Last() Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
