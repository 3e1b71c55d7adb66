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

	"uppercut/receiver/header"
)

// HostConfig names a mail host that should send logs.
type HostConfig struct {
	// Name is the host's name: a metric label, and the name in its certificate
	// if it has one.
	Name string `mapstructure:"name"`
	// Addresses lists the addresses from which this host, and no other, sends.
	// They may send whatever receiver.senders says. A host without any is
	// identified by its certificate or, failing that, by the name in its lines.
	Addresses []netip.Prefix `mapstructure:"addresses"`
	// Silence is how long the host may send nothing before it counts as silent,
	// 1m to 30d. Default: 1h.
	Silence time.Duration `mapstructure:"silence"`
}

// defaultSilence is what HostConfig.Silence is if it is not given.
const defaultSilence = time.Hour

func (h HostConfig) silence() time.Duration { return cmp.Or(h.Silence, defaultSilence) }

func validateHosts(hosts []HostConfig) error {
	var errs []error
	seen := make(map[string]bool, len(hosts))
	owners := make(map[netip.Prefix]string)
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
				continue
			}
			if other, taken := owners[p.Masked()]; taken && other != h.Name {
				errs = append(errs, fmt.Errorf("%s.addresses[%d]: %s is listed for %s, too; "+
					"hosts that send through one address are told apart by the names in their lines: list them without addresses", key, j, p, other))
			}
			owners[p.Masked()] = h.Name
		}
	}
	return errors.Join(errs...)
}

const (
	// maxSenders bounds the senders whose state is kept; the one that has
	// been silent for longest is forgotten for a new one.
	maxSenders = 4096
	// maxVoices bounds the names under which senders speak, all together.
	maxVoices = 2 * maxSenders
	// maxGap is the largest jump of a sequence number that counts as lost
	// messages and not as a sender that started anew.
	maxGap = 1_000_000
)

// SenderStatus is what is known of one host at one sender: a relay sends for
// many.
type SenderStatus struct {
	// Sender is what Message.Sender is, "" for an expected host that never
	// sent.
	Sender string
	// Host is the label of the host: the name from the configuration or the
	// certificate, else what its messages claim. A host of which nothing but an
	// address is known is listed by that, and has the label "other".
	Host string
	// Transport is how the sender's last message came.
	Transport Transport
	// Encrypted is true if that message came over TLS.
	Encrypted bool
	// Expected is true for a host of the configuration, which is listed here
	// also if it never sent. Silent is true if nobody sent under its name for
	// its time of silence.
	Expected, Silent bool
	// LastMessage is when the host's last message came from this sender; zero
	// if none did.
	LastMessage time.Time
	// Messages is how many were read, Rate how many a second, over the last
	// minute or two.
	Messages uint64
	Rate     float64
	// Refused is how many frames of the sender could not be read, Refusal what
	// was wrong with the last of them: a header.Error, or "framing".
	Refused uint64
	Refusal string
	// WithheldHeaders and WithheldTags are how many messages of the sender hold a
	// second header or a tag of sendmail's that does not count: the sender is
	// not listed in Config.Relays, the outer tag not in Config.WrappingTags.
	WithheldHeaders, WithheldTags uint64
	// Lost is how many messages of the sender syslog-ng's sequenceId says were
	// lost on the way.
	Lost uint64
	// Lag is arrival minus header time of the newest message with an absolute
	// time: negative if the sender's clock is ahead.
	Lag time.Duration
	// CertificateExpires is the end of the certificate that the sender showed
	// last; zero without one.
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
	voices  int // of all senders
	unread  uint64
}

// senderState is the state of one sender.
type senderState struct {
	status   SenderStatus
	sequence map[Transport]uint32 // the last id of a connection that ended
	voices   map[string]*voice    // by host label: one, unless it is a relay
}

// voice is what came from one sender under one name.
type voice struct {
	messages uint64
	last     time.Time
	lag      time.Duration
	rate     rate
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
		f.host(f.labels.label(from.host, "")).expires = from.expires
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

// refused counts a frame that could not be read, for a reason.
func (f *fleet) refused(from *origin, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sender(from)
	s.status.Refused++
	s.status.Refusal = reason
	f.unread++
}

// allUnread returns how many frames of all senders could not be read, those
// included that are forgotten.
func (f *fleet) allUnread() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unread
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
	s.status.Transport, s.status.Encrypted = from.transport, from.encrypted
	s.status.LastMessage = last.Received
	s.status.Lost += lost
	s.withhold(messages)
	f.countHosts(from, s, messages)
	return lost
}

// withhold counts the messages whose text holds what does not count.
func (s *senderState) withhold(messages []Message) {
	for i := range messages {
		switch messages[i].Withheld {
		case header.WithheldHeader:
			s.status.WithheldHeaders++
		case header.WithheldTag:
			s.status.WithheldTags++
		case header.WithheldNothing, header.WithheldRepeats:
		}
	}
}

// countHosts counts by host label: that of the sender's own name, else of what
// each message claims.
func (f *fleet) countHosts(from *origin, s *senderState, messages []Message) {
	for len(messages) > 0 {
		n := 1
		for n < len(messages) && (from.host != "" || messages[n].Host == messages[0].Host) {
			n++
		}
		last := &messages[n-1]
		label := f.labels.label(from.host, f.labels.claim(from, messages[0].Host))
		if from.host != "" {
			f.nameOnly(s, label)
		}
		h, v := f.host(label), f.voice(s, rowOf(label, messages[0].Host))
		h.messages += uint64(n)
		h.last = last.Received
		v.messages += uint64(n)
		v.last = last.Received
		v.rate.add(last.Received, n)
		if last.Stamp == header.StampFull {
			lag := last.Received.Sub(last.Time)
			h.skew, h.hasSkew = lag, true
			v.lag = lag
		}
		messages = messages[n:]
	}
}

// rowOf returns under which name a sender's row counts: the label, and in its
// place the address of a host that has no name.
func rowOf(label, claimed string) string {
	if label == otherHost {
		if addr := addressOf(claimed); addr.IsValid() {
			return addr.String()
		}
	}
	return label
}

// nameOnly forgets under which other names a sender has spoken: it has one of its
// own now.
func (f *fleet) nameOnly(s *senderState, label string) {
	if _, ok := s.voices[label]; ok && len(s.voices) == 1 {
		return
	}
	for other := range s.voices {
		if other != label {
			delete(s.voices, other)
			f.voices--
		}
	}
}

// voice returns what is known of a host label at a sender.
func (f *fleet) voice(s *senderState, label string) *voice {
	v, ok := s.voices[label]
	if !ok && len(s.voices) > 0 && f.voices >= maxVoices {
		label = otherHost
		v, ok = s.voices[label]
	}
	if !ok {
		v = new(voice)
		s.voices[strings.Clone(label)] = v // it may be part of a read buffer
		f.voices++
	}
	return v
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
		status:   SenderStatus{Sender: from.sender, Host: from.host, Transport: from.transport, Encrypted: from.encrypted},
		sequence: make(map[Transport]uint32),
		voices:   make(map[string]*voice, 1),
	}
	f.senders[from.sender] = s
	return s
}

func (f *fleet) forgetOldest() {
	oldest := slices.MinFunc(slices.Collect(maps.Values(f.senders)), func(a, b *senderState) int {
		return a.status.LastMessage.Compare(b.status.LastMessage)
	})
	f.voices -= len(oldest.voices)
	delete(f.senders, oldest.status.Sender)
}

// host returns the state of a host label; hosts without one of their own share
// one.
func (f *fleet) host(label string) *hostState {
	h, ok := f.hosts[label]
	if !ok {
		h = new(hostState)
		f.hosts[strings.Clone(label)] = h // it may be part of a read buffer
	}
	return h
}

// status returns a copy of what is known of every host at every sender, sorted
// by their names, and the expected hosts that never sent.
func (f *fleet) status(now time.Time) []SenderStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []SenderStatus
	heard := make(map[string]bool)
	for _, s := range f.senders {
		for label, v := range s.voices {
			heard[label] = true
			status := s.status
			status.Host, status.LastMessage, status.Messages = label, v.last, v.messages
			status.Rate, status.Lag = v.rate.perSecond(now), v.lag
			all = append(all, status)
		}
		if len(s.voices) == 0 {
			heard[s.status.Host] = true
			all = append(all, s.status)
		}
	}
	for _, h := range f.config {
		if !heard[h.Name] {
			all = append(all, SenderStatus{Host: h.Name})
		}
	}
	f.expect(all, now)
	slices.SortFunc(all, func(a, b SenderStatus) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Sender, b.Sender))
	})
	return all
}

// expect marks the hosts of the configuration, and those of them from which
// nothing came for too long, whoever sent it.
func (f *fleet) expect(all []SenderStatus, now time.Time) {
	silent := make(map[string]bool, len(f.config))
	for _, h := range f.config {
		last := f.started
		if state := f.hosts[h.Name]; state != nil && !state.last.IsZero() {
			last = state.last
		}
		silent[h.Name] = now.Sub(last) > h.silence()
	}
	for i := range all {
		s := &all[i]
		s.Silent, s.Expected = silent[s.Host]
	}
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
