package metrics

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Check is the state of one thing that must be right before the appliance does
// its work.
type Check struct {
	Name string
	// Err says what is wrong, nil if nothing is. It is a Warning if the appliance
	// does its work even so.
	Err error
}

// Warning is the error of a check that somebody should know of, and that does not
// keep the appliance from its work.
type Warning string

func (w Warning) Error() string { return string(w) }

// OK reports whether the check does not stand against being ready.
func (c Check) OK() bool {
	_, warning := errors.AsType[Warning](c.Err)
	return c.Err == nil || warning
}

// Health knows what must be right. Its zero value has no checks and is ready.
type Health struct {
	mu     sync.Mutex
	checks []namedCheck
}

type namedCheck struct {
	name string
	run  func() error
}

// Add adds a check under a name that is a metric label: [a-z_]+. run is called
// for each question, by many goroutines at once, and must answer from memory;
// its error is shown to anybody who asks and so must hold no address and no
// log text.
func (h *Health) Add(name string, run func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, namedCheck{name, run})
}

// Checks runs every check, in the order in which they were added.
func (h *Health) Checks() []Check {
	h.mu.Lock()
	named := slices.Clip(h.checks)
	h.mu.Unlock()
	out := make([]Check, len(named))
	for i, c := range named {
		out[i] = Check{c.name, c.run()}
	}
	return out
}

// ServeHealthy answers that the process is alive: it always is when it
// answers. A supervisor that restarts on this must not do so because a mail
// host is silent.
func (h *Health) ServeHealthy(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "uppercut is healthy.\n")
}

// ServeReady answers 200 if every check is right, else 503, and says for each
// check what it found.
func (h *Health) ServeReady(w http.ResponseWriter, _ *http.Request) {
	status, sentence := http.StatusOK, "uppercut is ready.\n"
	var found strings.Builder
	for _, c := range h.Checks() {
		if c.Err == nil {
			fmt.Fprintf(&found, "%s: ok\n", c.Name)
			continue
		}
		if c.OK() {
			fmt.Fprintf(&found, "%s: warning: %v\n", c.Name, c.Err)
			continue
		}
		status, sentence = http.StatusServiceUnavailable, "uppercut is not ready.\n"
		fmt.Fprintf(&found, "%s: %v\n", c.Name, c.Err)
	}
	answer(w, status, sentence+found.String())
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // who asked has gone away: nobody to tell
}

var checkDesc = prometheus.NewDesc("uppercut_check_ok",
	"1 when this readiness check passes; /-/ready says why one does not.", []string{"check"}, nil)

// Describe implements prometheus.Collector.
func (h *Health) Describe(ch chan<- *prometheus.Desc) { ch <- checkDesc }

// Collect implements prometheus.Collector: one gauge for each check.
func (h *Health) Collect(ch chan<- prometheus.Metric) {
	for _, c := range h.Checks() {
		ok := 1.0
		if !c.OK() {
			ok = 0
		}
		ch <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, ok, c.Name)
	}
}
