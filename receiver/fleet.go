package receiver

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// HostConfig names a mail host that should send logs.
type HostConfig struct {
	// Name is the host's name: a metric label, and the name in its
	// certificate if it has one.
	Name string `mapstructure:"name"`
	// Addresses lists the addresses that the host sends from. Default: none,
	// the host is known by its certificate.
	Addresses []netip.Prefix `mapstructure:"addresses"`
	// Silence is after how long without a message the host counts as silent,
	// 1m to 30d. Default: 1h.
	Silence time.Duration `mapstructure:"silence"`
}

// defaultSilence is what HostConfig.Silence is if it is not given.
const defaultSilence = time.Hour

func (h HostConfig) silence() time.Duration { return cmp.Or(h.Silence, defaultSilence) }

func validateHosts(hosts []HostConfig) error {
	var errs []error
	seen := make(map[string]bool, len(hosts))
	for i, h := range hosts {
		key := fmt.Sprintf("hosts[%d]", i)
		switch {
		case !isHostName(h.Name), h.Name == otherHost:
			errs = append(errs, fmt.Errorf("%s.name: %q is not a host name", key, h.Name))
		case seen[h.Name]:
			errs = append(errs, fmt.Errorf("%s.name: %q is listed twice", key, h.Name))
		}
		seen[h.Name] = true
		errs = append(errs, between(key+".silence", h.silence(), time.Minute, 720*time.Hour))
		for j, p := range h.Addresses {
			if !p.IsValid() {
				errs = append(errs, fmt.Errorf("%s.addresses[%d]: not an address or network", key, j))
			}
		}
	}
	return errors.Join(errs...)
}

const (
	// maxSenders bounds the senders whose state is kept; the one that has
	// been silent for longest is forgotten for a new one.
	maxSenders = 4096
	// maxGap is the largest jump of a sequence number that counts as lost
	// messages and not as a sender that started anew.
	maxGap = 1_000_000
	// skewWindow is within how long the smallest lag is taken for the clock's
	// error: backlogs pass, wrong clocks stay.
	skewWindow = 10 * time.Minute
)

// SenderStatus is what is known of one sender.
type SenderStatus struct {
	// Sender is what Message.Sender is.
	Sender string
	// Host is the name from the configuration or the certificate, else what
	// the last message claimed.
	Host string
	// Transport is how the last message came.
	Transport Transport
	// Expected is true for a host of the configuration, which is listed here
	// also if it never sent. Silent is true if it never did, or not for its
	// time of silence.
	Expected, Silent bool
	// LastMessage is when the last message came; zero if none did.
	LastMessage time.Time
	// Messages is how many were read, Rate how many a second, over the last
	// minute or two.
	Messages uint64
	Rate     float64
	// Refused is how many frames could not be read.
	Refused uint64
	// Lost is how many messages syslog-ng's sequenceId says were lost on the
	// way.
	Lost uint64
	// Lag is arrival minus header time of the newest message with an absolute
	// time. ClockSkew is the smallest Lag in 5 to 10 minutes: negative if the
	// sender's clock is ahead.
	Lag, ClockSkew time.Duration
	// CertificateExpires is the end of the certificate shown last; zero
	// without one.
	CertificateExpires time.Time
}

// fleet keeps the state of every sender. It is safe for concurrent use.
type fleet struct {
	labels *Hosts

	mu      sync.Mutex
	config  []HostConfig
	started time.Time
	senders map[string]*senderState
	hosts   map[string]*hostState
}

// senderState is the state of one sender.
type senderState struct {
	status   SenderStatus
	rate     rate
	skew     skew
	sequence map[Transport]uint32 // the last id of a connection that ended
}

// hostState is what the metrics of one host label need.
type hostState struct {
	messages uint64
	last     time.Time
	skew     time.Duration
	hasSkew  bool
	expires  time.Time
}

func newFleet(labels *Hosts, hosts []HostConfig, now time.Time) *fleet {
	return &fleet{
		labels:  labels,
		config:  hosts,
		started: now,
		senders: make(map[string]*senderState),
		hosts:   make(map[string]*hostState),
	}
}

// configure replaces the expected hosts.
func (f *fleet) configure(hosts []HostConfig) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config = hosts
}

// greet begins a connection: it goes on in the numbering of the one before.
func (f *fleet) greet(from *origin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sender(from)
	from.sequence = s.sequence[from.transport]
	delete(s.sequence, from.transport)
	if !from.expires.IsZero() {
		s.status.CertificateExpires = from.expires
		f.host(from.host, "").expires = from.expires
	}
}

// part ends a connection.
func (f *fleet) part(from *origin) {
	if from.sequence == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sender(from).sequence[from.transport] = from.sequence
}

// refused counts a frame that could not be read.
func (f *fleet) refused(from *origin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sender(from).status.Refused++
}

// observe takes the messages of one sender that came in one read, and returns
// how many were lost before them.
func (f *fleet) observe(from *origin, messages []Message) (lost uint64) {
	if len(messages) == 0 {
		return 0
	}
	for i := range messages {
		lost += from.gap(messages[i].SequenceID)
	}
	last := &messages[len(messages)-1]
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sender(from)
	s.status.Transport = from.transport
	if host := cmp.Or(from.host, last.Host); host != "" && host != s.status.Host {
		s.status.Host = strings.Clone(host) // it may be part of a read buffer
	}
	s.status.LastMessage = last.Received
	s.status.Messages += uint64(len(messages))
	s.status.Lost += lost
	s.rate.add(last.Received, len(messages))
	if last.Stamp == StampFull {
		s.status.Lag = last.Received.Sub(last.Time)
		s.skew.add(last.Received, s.status.Lag)
	}
	f.countHosts(from, messages)
	return lost
}

// countHosts counts for the labels: by the sender's own name, else by what
// each message claims.
func (f *fleet) countHosts(from *origin, messages []Message) {
	for len(messages) > 0 {
		n := 1
		for n < len(messages) && (from.host != "" || messages[n].Host == messages[0].Host) {
			n++
		}
		last := &messages[n-1]
		h := f.host(from.host, messages[0].Host)
		h.messages += uint64(n)
		h.last = last.Received
		if last.Stamp == StampFull {
			h.skew, h.hasSkew = last.Received.Sub(last.Time), true
		}
		messages = messages[n:]
	}
}

// sender returns the state of a sender, new or known.
func (f *fleet) sender(from *origin) *senderState {
	if s, ok := f.senders[from.sender]; ok {
		return s
	}
	if len(f.senders) >= maxSenders {
		f.forgetOldest()
	}
	s := &senderState{
		status:   SenderStatus{Sender: from.sender, Host: from.host, Transport: from.transport},
		sequence: make(map[Transport]uint32),
	}
	f.senders[from.sender] = s
	return s
}

func (f *fleet) forgetOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Values(f.senders)), func(a, b *senderState) int {
		return a.status.LastMessage.Compare(b.status.LastMessage)
	})
	delete(f.senders, oldest.status.Sender)
}

// host returns the state of a host, by its own name or else the one that its
// lines claim; those that have no label of their own share one.
func (f *fleet) host(own, claimed string) *hostState {
	label := f.labels.label(own, claimed)
	h, ok := f.hosts[label]
	if !ok {
		h = new(hostState)
		f.hosts[strings.Clone(label)] = h // it may be part of a read buffer
	}
	return h
}

// status returns a copy of every sender's state, sorted by name, and the
// expected hosts that never sent.
func (f *fleet) status(now time.Time) []SenderStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	silence := make(map[string]time.Duration, len(f.config))
	for _, h := range f.config {
		silence[h.Name] = h.silence()
	}
	var all []SenderStatus
	seen := make(map[string]bool)
	for _, s := range f.senders {
		status := s.status
		status.Rate = s.rate.perSecond(now)
		status.ClockSkew = s.skew.smallest()
		if limit, ok := silence[status.Host]; ok {
			status.Expected = true
			status.Silent = now.Sub(status.LastMessage) > limit
			seen[status.Host] = true
		}
		all = append(all, status)
	}
	for _, h := range f.config {
		if !seen[h.Name] {
			all = append(all, SenderStatus{Sender: h.Name, Host: h.Name, Expected: true, Silent: now.Sub(f.started) > h.silence()})
		}
	}
	slices.SortFunc(all, func(a, b SenderStatus) int { return cmp.Compare(a.Sender, b.Sender) })
	return all
}

// gap takes the next sequence number of a connection and returns how many are
// missing before it. A number that does not grow is a sender that started anew
// or sends again.
func (o *origin) gap(id uint32) uint64 {
	last := o.sequence
	if id == 0 {
		return 0
	}
	o.sequence = id
	if last == 0 || id <= last || id-last > maxGap {
		return 0
	}
	return uint64(id - last - 1)
}

// rate counts what came in this minute and in the one before.
type rate struct {
	minute            int64
	current, previous int
}

func (r *rate) add(now time.Time, n int) {
	r.turn(now)
	r.current += n
}

func (r *rate) turn(now time.Time) {
	minute := now.Unix() / 60
	switch minute - r.minute {
	case 0:
		return
	case 1:
		r.previous = r.current
	default:
		r.previous = 0
	}
	r.minute, r.current = minute, 0
}

// perSecond weighs the minute before by what of it is within 60 seconds.
func (r *rate) perSecond(now time.Time) float64 {
	r.turn(now)
	rest := float64(60-now.Unix()%60) / 60
	return (float64(r.previous)*rest + float64(r.current)) / 60
}

// skew keeps the smallest lag of two half windows.
type skew struct {
	half              int64
	current, previous time.Duration
	known             bool
}

func (s *skew) add(now time.Time, lag time.Duration) {
	half := now.Unix() / int64(skewWindow/2/time.Second)
	switch {
	case !s.known:
		s.current, s.previous, s.known = lag, lag, true
	case half == s.half:
		s.current = min(s.current, lag)
	case half == s.half+1:
		s.current, s.previous = lag, s.current
	default:
		s.current, s.previous = lag, lag
	}
	s.half = half
}

func (s *skew) smallest() time.Duration { return min(s.current, s.previous) }
