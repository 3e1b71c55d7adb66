package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/net/ipv4"

	"uppercut/deploy/loggen"
	"uppercut/deploy/netns"
)

// A soak is a fleet that sends at a steady rate for a long time, while we watch
// what the appliance keeps. Each host sends over another transport. The same log
// is sent over and over with new times, so the number of sources is bounded and
// whatever keeps growing is a leak.

// soakPool is how many lines the log of each host has.
const soakPool = 50_000

// soakTransports are the transports of the hosts and what share of the messages
// each sends. RELP's is small: a sender there waits until its messages are judged
// and what they cause is saved on disk.
var soakTransports = [liveHosts]struct {
	name  string
	share float64
}{{"tcp", 0.35}, {"tls", 0.35}, {"udp", 0.25}, {"relp", 0.05}}

// soakStamp is the time of a message, always of the same length.
const soakStamp = "2006-01-02T15:04:05.000000-07:00"

// soakHost sends its log over and over.
type soakHost struct {
	stream []byte // frames, one behind the other
	ends   []int  // of each frame in stream
	texts  []int  // where each frame's message begins, behind its length
	stamps []int  // where each message's time stands
	next   int    // frame
	sent   int
	carrier
}

// carrier takes a host's messages to the appliance.
type carrier struct {
	// write sends the frames from first until before last.
	write func(h *soakHost, first, last int) error
	// close ends the connection once everything is delivered.
	close func() error
}

// soakHosts makes the hosts, without connections; each has so many lines on
// average.
func soakHosts(lines int) []*soakHost {
	hosts := map[string]*soakHost{}
	var all []*soakHost
	var message []byte
	for l := range loggen.Lines(loggen.LastMinute(liveHosts*lines, liveHosts)) {
		h := hosts[l.Host]
		if h == nil {
			h = new(soakHost)
			hosts[l.Host] = h
			all = append(all, h)
		}
		message = loggen.RFC5424Message.Append(message[:0], l)
		h.stream = loggen.AppendFrame(h.stream, message)
		start := len(h.stream) - len(message)
		h.texts = append(h.texts, start)
		h.stamps = append(h.stamps, start+len("<22>1 "))
		h.ends = append(h.ends, len(h.stream))
	}
	return all
}

// dialCarrier connects to the appliance.
func dialCarrier(ctx context.Context, ns *netns.Namespace, transport string) (carrier, error) {
	switch transport {
	case "udp":
		conn, err := ns.Dial(ctx, new(net.Dialer), "udp", syslogAddress)
		if err != nil {
			return carrier{}, err
		}
		return datagramCarrier(conn), nil
	case "relp":
		c, err := dialRELP(ctx, ns)
		if err != nil {
			return carrier{}, err
		}
		return relpCarrier(c), nil
	case "tls":
		conn, err := dialTLS(ctx, ns)
		if err != nil {
			return carrier{}, err
		}
		return streamCarrier(conn), nil
	default:
		conn, err := dial(ctx, ns, syslogAddress)
		if err != nil {
			return carrier{}, err
		}
		return streamCarrier(conn), nil
	}
}

func streamCarrier(conn io.WriteCloser) carrier {
	return carrier{close: conn.Close, write: func(h *soakHost, first, last int) error {
		begin := 0
		if first > 0 {
			begin = h.ends[first-1]
		}
		_, err := conn.Write(h.stream[begin:h.ends[last-1]])
		return err
	}}
}

func datagramCarrier(conn net.Conn) carrier {
	udp := ipv4.NewPacketConn(conn.(net.PacketConn))
	return carrier{close: conn.Close, write: func(h *soakHost, first, last int) error {
		datagrams := make([]ipv4.Message, 0, last-first)
		for i := first; i < last; i++ {
			datagrams = append(datagrams, ipv4.Message{Buffers: [][]byte{h.message(i)}})
		}
		for len(datagrams) > 0 {
			n, err := udp.WriteBatch(datagrams[:min(datagramsPerWrite, len(datagrams))], 0)
			if err != nil {
				return err
			}
			datagrams = datagrams[n:]
		}
		return nil
	}}
}

func relpCarrier(c *relpClient) carrier {
	number := 0
	var frame []byte
	return carrier{
		write: func(h *soakHost, first, last int) error {
			for i := first; i < last; i++ {
				if err := c.reserve(); err != nil {
					return err
				}
				number++
				frame = appendRELP(frame[:0], number, h.message(i))
				_, _ = c.out.Write(frame) // Flush returns the error
			}
			return c.out.Flush()
		},
		close: func() error { return errors.Join(c.settle(), c.conn.Close()) },
	}
}

// message is the text of a frame.
func (h *soakHost) message(i int) []byte { return h.stream[h.texts[i]:h.ends[i]] }

// send sends so many messages, stamped.
func (h *soakHost) send(n int, stamp string) error {
	for n > 0 {
		first, last := h.next, min(h.next+n, len(h.ends))
		for i := first; i < last; i++ {
			copy(h.stream[h.stamps[i]:], stamp)
		}
		if err := h.write(h, first, last); err != nil {
			return err
		}
		n -= last - first
		h.sent += last - first
		h.next = last % len(h.ends)
	}
	return nil
}

// run sends at a rate until the time is over.
func (h *soakHost) run(ctx context.Context, rate float64, lasting time.Duration) (err error) {
	defer func() { err = errors.Join(err, h.close()) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		passed := min(time.Since(begin), lasting)
		if err := h.send(int(passed.Seconds()*rate)-h.sent, time.Now().Format(soakStamp)); err != nil {
			return err
		}
		if passed == lasting {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sample is what the appliance kept at a time.
type sample struct {
	at         time.Duration // since the begin
	judged     float64
	resident   float64 // MB
	goroutines float64
	sources    float64
	blocks     float64
	drift      float64
	lost       float64 // counted as dropped, by anybody
}

func (a *appliance) sample(at time.Duration) (sample, error) {
	f, err := a.figures()
	if err != nil {
		return sample{}, err
	}
	resident, err := a.memory("VmRSS")
	return sample{
		at:         at,
		judged:     f.sum("uppercut_messages_judged_total"),
		resident:   float64(resident) / 1e6,
		goroutines: f.sum("go_goroutines"),
		sources:    f.sum("uppercut_tracked_sources"),
		blocks:     f.sum("uppercut_blocks_active"),
		drift:      f.sum("uppercut_firewall_drift_total"),
		lost:       f.sum("uppercut_udp_kernel_drops_total") + f.sum("uppercut_messages_dropped_total"),
	}, err
}

func (s sample) print(w io.Writer) {
	fmt.Fprintf(w, "| %v | %s | %s | %.0f | %s | %s | %.0f | %.0f |\n", s.at.Round(time.Second),
		number(s.judged, 0), number(s.resident, 0), s.goroutines, number(s.sources, 0), number(s.blocks, 0), s.drift, s.lost)
}

const soakHead = `
### %v at %s messages/s

| after | judged | resident MB | goroutines | sources | blocks | drift | lost |
|---:|---:|---:|---:|---:|---:|---:|---:|
`

// soakSamples is how many samples a soak takes.
const soakSamples = 60

// soak runs the appliance at a rate for a while. The error says what did not
// hold.
func (b *bench) soak(ctx context.Context, lasting time.Duration, rate int, w io.Writer) error {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return err
	}
	a, err := b.startUppercut(ctx, dir)
	if err != nil {
		return err
	}
	defer a.stop()
	hosts := soakHosts(min(soakPool, int(float64(rate)*lasting.Seconds())))
	for i, h := range hosts {
		if h.carrier, err = dialCarrier(ctx, a.ns, soakTransports[i].name); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, soakHead, lasting, number(float64(rate), 0))
	begin := time.Now()
	ended := make(chan error)
	for i, h := range hosts {
		go func() { ended <- h.run(ctx, float64(rate)*soakTransports[i].share, lasting) }()
	}
	samples, err := a.watchSoak(begin, lasting/soakSamples, len(hosts), ended, w)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	sent := 0
	for _, h := range hosts {
		sent += h.sent
	}
	last, err := a.settle(ctx, begin, sent)
	if err != nil {
		return err
	}
	last.print(w)
	samples = append(samples, last)
	quarters(samples).print(w)
	return errors.Join(keptPace(took, lasting), nothingLost(sent, last), steady(samples))
}

// watchSoak takes samples until every sender has ended.
func (a *appliance) watchSoak(begin time.Time, every time.Duration, senders int, ended <-chan error, w io.Writer) (samples []sample, err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for senders > 0 {
		select {
		case <-tick.C:
			s, sampleErr := a.sample(time.Since(begin))
			if sampleErr == nil {
				samples = append(samples, s)
				s.print(w)
			}
			err = errors.Join(err, sampleErr)
		case senderErr := <-ended:
			err = errors.Join(err, senderErr)
			senders--
		}
	}
	return samples, err
}

// settle waits until all that was sent is judged, or nothing more comes.
func (a *appliance) settle(ctx context.Context, begin time.Time, sent int) (last sample, err error) {
	changed := time.Now()
	err = a.await(ctx, 20*time.Millisecond, func() (bool, error) {
		s, err := a.sample(time.Since(begin))
		if s.judged != last.judged {
			changed = time.Now()
		}
		last = s
		return int(s.judged) >= sent || time.Since(changed) > settled, err
	})
	return last, err
}

// keptPace: the senders were not held up, as they are by a full connection.
func keptPace(took, lasting time.Duration) error {
	if took > lasting+lasting/100+time.Second {
		return fmt.Errorf("not kept pace: what was to be sent in %v took %v", lasting, took.Round(time.Second))
	}
	return nil
}

func nothingLost(sent int, last sample) error {
	if int(last.judged) != sent || last.lost != 0 {
		return fmt.Errorf("lost: %d sent, %.0f judged, %.0f counted as dropped", sent, last.judged, last.lost)
	}
	return nil
}

// kept is what the appliance kept in the second quarter of the samples and in
// the last; the first is for warming up.
type kept struct{ memory, goroutines [2]float64 }

func quarters(samples []sample) kept {
	quarter := len(samples) / 4
	var k kept
	for i, part := range [2][]sample{samples[quarter : 2*quarter], samples[len(samples)-quarter:]} {
		if len(part) > 0 {
			k.memory[i], k.goroutines[i] = medianOf(part, resident), medianOf(part, goroutines)
		}
	}
	return k
}

func (k kept) print(w io.Writer) {
	fmt.Fprintf(w, "\nMedian of resident memory: second quarter %.0f MB, last quarter %.0f MB (%+.1f %%).\n",
		k.memory[0], k.memory[1], 100*(k.memory[1]/k.memory[0]-1))
}

// What memory may grow by from the second quarter to the last: a share, or what
// one garbage collection more or less is worth.
const (
	growthShare = 0.05
	growthMB    = 16
)

// steady says what did not stay as it was.
func steady(samples []sample) error {
	if len(samples) < 4 {
		return errors.New("too few samples to tell whether anything grows")
	}
	k := quarters(samples)
	var err error
	if was, is := k.memory[0], k.memory[1]; is > was+max(was*growthShare, growthMB) {
		err = errors.Join(err, fmt.Errorf("memory grows: %.0f MB, then %.0f MB", was, is))
	}
	if was, is := k.goroutines[0], k.goroutines[1]; is > was+5 {
		err = errors.Join(err, fmt.Errorf("goroutines grow: %.0f, then %.0f", was, is))
	}
	last := samples[len(samples)-1]
	if last.drift != 0 {
		err = errors.Join(err, fmt.Errorf("drift: %.0f differences between list and kernel", last.drift))
	}
	if last.blocks == 0 {
		err = errors.Join(err, errors.New("nobody was blocked: this was no work"))
	}
	return err
}

func resident(s sample) float64   { return s.resident }
func goroutines(s sample) float64 { return s.goroutines }

func medianOf(samples []sample, figure func(sample) float64) float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, figure(s))
	}
	return median(values)
}
