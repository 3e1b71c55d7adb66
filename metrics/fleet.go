package metrics

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FleetConfig says which mail hosts should log, and how often.
type FleetConfig struct {
	// Expect lists mail hosts that should log; one that never does is found
	// missing. Default: none.
	Expect []ExpectedHost `mapstructure:"expect"`
	// Silence is how long a mail host that has logged may be quiet before it
	// counts as silent, 1 minute to 30 days; 0 never minds. Default: 1h.
	Silence time.Duration `mapstructure:"silence"`
}

// ExpectedHost is a mail host that should log.
type ExpectedHost struct {
	// Name is the host as its log lines name it.
	Name string `mapstructure:"name"`
	// Silence is how long it may be quiet, 1 minute to 30 days. Default: that
	// of all.
	Silence time.Duration `mapstructure:"silence"`
}

// DefaultFleetConfig returns what runs without a file.
func DefaultFleetConfig() FleetConfig { return FleetConfig{Silence: time.Hour} }

// Validate says what is wrong, beginning with the key.
func (c FleetConfig) Validate() error {
	if err := checkSilence("silence", c.Silence); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for i, h := range c.Expect {
		key := fmt.Sprintf("expect[%d].", i)
		if h.Name == "" || seen[h.Name] {
			return fmt.Errorf("%sname: %q is empty or listed twice", key, h.Name)
		}
		seen[h.Name] = true
		if err := checkSilence(key+"silence", h.Silence); err != nil {
			return err
		}
	}
	return nil
}

func checkSilence(key string, d time.Duration) error {
	if d != 0 && (d < time.Minute || d > 30*24*time.Hour) {
		return fmt.Errorf("%s: %s is not 1m to 720h, nor 0", key, d)
	}
	return nil
}

// Fleet knows which mail hosts log: how much, when last, and which should. It
// is told of every message and so costs a look into a map.
type Fleet struct {
	mu     sync.RWMutex
	config FleetConfig
	hosts  map[string]*hostState
}

// hostState is what is known of one host.
type hostState struct {
	messages atomic.Uint64
	last     atomic.Int64 // Unix time in ns; 0 for never
	origin   atomic.Pointer[origin]
}

type origin struct{ sender, transport string }

// NewFleet returns a Fleet whose metrics are registered with reg; nil keeps
// them unregistered.
func NewFleet(c FleetConfig, reg prometheus.Registerer) *Fleet {
	f := &Fleet{hosts: make(map[string]*hostState)}
	f.Reconfigure(c)
	register(reg, f)
	return f
}

// Reconfigure replaces what is expected and keeps what was counted.
func (f *Fleet) Reconfigure(c FleetConfig) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config = c
	for _, h := range c.Expect {
		if f.hosts[h.Name] == nil {
			f.hosts[h.Name] = new(hostState)
		}
	}
}

// Received counts n messages of a host that came in at the time at. host is a
// metric label: the caller bounds how many there are, and clones what shares
// the memory of a read buffer.
func (f *Fleet) Received(host, sender, transport string, at time.Time, n int) {
	h := f.state(host)
	h.messages.Add(uint64(n))
	if ns := at.UnixNano(); ns > h.last.Load() {
		h.last.Store(ns) // two at once may swap nanoseconds, which nobody sees
	}
	if o := h.origin.Load(); o == nil || o.sender != sender || o.transport != transport {
		h.origin.Store(&origin{strings.Clone(sender), strings.Clone(transport)})
	}
}

func (f *Fleet) state(host string) *hostState {
	f.mu.RLock()
	h := f.hosts[host]
	f.mu.RUnlock()
	if h != nil {
		return h
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hosts[host] == nil {
		f.hosts[strings.Clone(host)] = new(hostState)
	}
	return f.hosts[host]
}

// Host is a mail host as the appliance sees it.
type Host struct {
	Name string
	// Sender and Transport are how its last message came in, "" if none has.
	Sender, Transport string
	// Last is when that was; zero for never.
	Last     time.Time
	Messages uint64
	// Expected: the configuration lists it.
	Expected bool
	// Silence is how long it may be quiet; 0 for ever.
	Silence time.Duration
}

// Silent says whether the host has been quiet for longer than it may. A host
// that is expected and has never logged is silent.
func (h Host) Silent(now time.Time) bool {
	if h.Last.IsZero() {
		return h.Expected
	}
	return h.Silence > 0 && now.Sub(h.Last) > h.Silence
}

// Hosts lists every host that has logged or should, by name.
func (f *Fleet) Hosts() []Host {
	f.mu.RLock()
	defer f.mu.RUnlock()
	list := make([]Host, 0, len(f.hosts))
	for name, state := range f.hosts {
		h := Host{Name: name, Messages: state.messages.Load(), Silence: f.config.Silence}
		if ns := state.last.Load(); ns != 0 {
			h.Last = time.Unix(0, ns)
		}
		if o := state.origin.Load(); o != nil {
			h.Sender, h.Transport = o.sender, o.transport
		}
		f.expect(&h)
		if h.Expected || h.Messages > 0 {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// expect fills in what the configuration says of h.
func (f *Fleet) expect(h *Host) {
	i := slices.IndexFunc(f.config.Expect, func(e ExpectedHost) bool { return e.Name == h.Name })
	if i < 0 {
		return
	}
	h.Expected = true
	if s := f.config.Expect[i].Silence; s != 0 {
		h.Silence = s
	}
}

func hostDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"host"}, nil)
}

var (
	hostMessages = hostDesc("uppercut_host_messages_total", "Syslog messages received per sending host.")
	hostLast     = hostDesc("uppercut_host_last_message_timestamp_seconds", "Receive time of the newest message from this host.")
	hostExpected = hostDesc("uppercut_host_expected", "1 for every host listed in the configuration.")
	hostSilence  = hostDesc("uppercut_host_silence_threshold_seconds", "Configured silence after which this host counts as silent.")
)

// Describe implements prometheus.Collector.
func (f *Fleet) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{hostMessages, hostLast, hostExpected, hostSilence} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *Fleet) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, host string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, host)
	}
	for _, h := range f.Hosts() {
		ch <- prometheus.MustNewConstMetric(hostMessages, prometheus.CounterValue, float64(h.Messages), h.Name)
		if !h.Last.IsZero() {
			gauge(hostLast, float64(h.Last.UnixMilli())/1000, h.Name)
		}
		if h.Expected {
			gauge(hostExpected, 1, h.Name)
		}
		if h.Silence > 0 {
			gauge(hostSilence, h.Silence.Seconds(), h.Name)
		}
	}
}
