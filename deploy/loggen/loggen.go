package loggen

import (
	"container/heap"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Line is one line of a mail log, not yet in any file format.
type Line struct {
	Time time.Time
	// Host wrote the line; Tag and PID name its process.
	Host, Tag string
	PID       uint32
	// Severity is the syslog severity, 0 to 7; the facility is always mail.
	Severity uint8
	// Text is what stands behind "TAG[PID]: ".
	Text string

	// Reason is the class of the offence that the line is, "" if it is none.
	Reason string
	// Addr is the offender; valid exactly when Reason is not "".
	Addr netip.Addr
	// ViaSession: the line itself does not name Addr, others of its session do.
	ViaSession bool
}

// Config says what to make up. Equal Configs give equal lines.
type Config struct {
	// Seed chooses one of many logs.
	Seed uint64
	// Lines is how many lines there are.
	Lines int
	// Hosts is the number of mail hosts, named mx1, mx2 and so on.
	Hosts int
	// Sources is the number of clients that offend. Few of them do most of it
	// (Zipf, exponent 1.1).
	Sources int
	// Partners is the number of clients that send wanted mail.
	Partners int
	// Abuse is the share of the sessions that offenders open, 0 to 1.
	Abuse float64
	// Start is the time of the first line.
	Start time.Time
	// Rate is the mean number of sessions a second over all hosts.
	Rate float64
}

// DefaultConfig returns a day in the life of five busy hosts: a million lines,
// 40,000 offenders, three in ten sessions theirs, so that one line in five is an
// offence. Every second of those sessions ends at connect, in check_relay. An
// Abuse of 0.7 makes half of the lines offences, as under attack.
func DefaultConfig() Config {
	return Config{
		Seed:     1,
		Lines:    1_000_000,
		Hosts:    5,
		Sources:  40_000,
		Partners: 2_000,
		Abuse:    0.3,
		Start:    time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		Rate:     5,
	}
}

// LastMinute is Last of a minute.
func LastMinute(lines, hosts int) Config { return Last(time.Minute, lines, hosts) }

// Last returns a Config of so many lines of so many hosts in the time that has
// just gone by.
func Last(span time.Duration, lines, hosts int) Config {
	const linesPerSession = 2.5
	c := DefaultConfig()
	c.Lines, c.Hosts = lines, hosts
	c.Rate = max(1, float64(lines)/linesPerSession/span.Seconds())
	c.Start = time.Now().Add(-span)
	return c
}

// Validate names the first value that makes no log.
func (c Config) Validate() error {
	switch {
	case c.Lines < 0:
		return fmt.Errorf("lines: %d is negative", c.Lines)
	case c.Hosts < 1:
		return fmt.Errorf("hosts: %d, need at least 1", c.Hosts)
	case c.Sources < 2:
		return fmt.Errorf("sources: %d, need at least 2", c.Sources)
	case c.Partners < 2:
		return fmt.Errorf("partners: %d, need at least 2", c.Partners)
	case c.Abuse < 0 || c.Abuse > 1:
		return fmt.Errorf("abuse: %v is not between 0 and 1", c.Abuse)
	case c.Rate <= 0:
		return fmt.Errorf("rate: %v is not positive", c.Rate)
	}
	return nil
}

// Lines returns the lines in order of time. It panics on a Config that
// Validate refuses.
func Lines(c Config) iter.Seq[*Line] {
	if err := c.Validate(); err != nil {
		panic("loggen: " + err.Error())
	}
	return func(yield func(*Line) bool) {
		f := newFleet(c)
		for range c.Lines {
			if !yield(f.next()) {
				return
			}
		}
	}
}

// fleet is the mail hosts at work: sessions begin at random, and the lines of
// those that run at once interleave.
type fleet struct {
	config   Config
	random   *rand.Rand
	offender *rand.Zipf
	partner  *rand.Zipf
	hosts    []host
	// begin is when the next session begins.
	begin time.Time
	// pending holds lines that are not due yet.
	pending schedule
	made    uint64
}

// host is a mail host: its processes count up and wrap as on a small machine.
type host struct {
	name, tag string
	pid       uint32
}

const maxPID = 32768 // kernel.pid_max where nobody raised it

func newFleet(c Config) *fleet {
	r := rand.New(rand.NewPCG(c.Seed, 0x9e3779b97f4a7c15))
	f := &fleet{
		config:   c,
		random:   r,
		offender: rand.NewZipf(r, 1.1, 8, uint64(c.Sources-1)),
		partner:  rand.NewZipf(r, 1.1, 8, uint64(c.Partners-1)),
		begin:    c.Start,
	}
	tags := []string{"sm-mta", "sendmail"}
	for i := range c.Hosts {
		f.hosts = append(f.hosts, host{
			name: fmt.Sprintf("mx%d", i+1),
			tag:  tags[i%len(tags)],
			pid:  300 + r.Uint32N(maxPID-300),
		})
	}
	return f
}

// next returns the earliest line that no session still to begin can precede.
func (f *fleet) next() *Line {
	for len(f.pending) == 0 || !f.pending[0].line.Time.Before(f.begin) {
		f.openSession(f.begin)
		pause := f.random.ExpFloat64() / f.config.Rate
		f.begin = f.begin.Add(time.Duration(pause * float64(time.Second)))
	}
	return heap.Pop(&f.pending).(*entry).line
}

func (f *fleet) openSession(at time.Time) {
	s := &session{fleet: f, host: &f.hosts[f.random.IntN(len(f.hosts))], now: at}
	s.fork()
	if f.random.Float64() < f.config.Abuse {
		s.client = newOffender(f.offender.Uint64())
		pick(f.random, abuses)(s)
		return
	}
	s.client = newPartner(f.partner.Uint64())
	pick(f.random, uses)(s)
}

func (f *fleet) add(l *Line) {
	f.made++
	heap.Push(&f.pending, &entry{line: l, number: f.made})
}

// entry is a line in a schedule; number keeps equal times in order.
type entry struct {
	line   *Line
	number uint64
}

// schedule is a heap of entries, the earliest first.
type schedule []*entry

func (s schedule) Len() int      { return len(s) }
func (s schedule) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s schedule) Less(i, j int) bool {
	if c := s[i].line.Time.Compare(s[j].line.Time); c != 0 {
		return c < 0
	}
	return s[i].number < s[j].number
}
func (s *schedule) Push(x any) { *s = append(*s, x.(*entry)) }
func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	*s = (*s)[:last]
	return e
}
