package loggen

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// session is one SMTP connection while its lines are written. Every session has
// a process of its own, whose number stands in its queue ids.
type session struct {
	*fleet
	host   *host
	client client
	now    time.Time
	pid    uint32
	id     string
	serial int
}

const (
	warning = 4
	notice  = 5
	info    = 6
)

// fork gives the session its process and first queue id.
func (s *session) fork() {
	s.host.pid++
	if s.host.pid >= maxPID {
		s.host.pid = 300
	}
	s.pid = s.host.pid
	s.newID()
}

const idDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID makes a queue id as sendmail's assign_queueid does: time in UTC, two
// counting characters, and the process.
func (s *session) newID() {
	t := s.now.UTC()
	n := s.random.IntN(60*60) + s.serial
	s.serial++
	b := make([]byte, 0, 16)
	for _, d := range []int{
		(t.Year() - 1900) % 60, int(t.Month()) - 1, t.Day(), t.Hour(), t.Minute(), t.Second(), n / 60 % 60, n % 60,
	} {
		b = append(b, idDigits[d])
	}
	s.id = fmt.Sprintf("%s%06d", b, s.pid)
}

// wait lets up to a few seconds pass.
func (s *session) wait(mean time.Duration) {
	s.now = s.now.Add(time.Duration(s.random.ExpFloat64() * float64(mean)))
}

// say writes a line that is no offence and has no queue id.
func (s *session) say(severity uint8, format string, args ...any) *Line {
	s.wait(400 * time.Millisecond)
	l := &Line{
		Time: s.now, Host: s.host.name, Tag: s.host.tag, PID: s.pid, Severity: severity,
		Text: fmt.Sprintf(format, args...),
	}
	s.add(l)
	return l
}

// log writes a line of the transaction.
func (s *session) log(severity uint8, format string, args ...any) *Line {
	return s.say(severity, "%s: %s", s.id, fmt.Sprintf(format, args...))
}

// accuse says what a line is.
func (s *session) accuse(l *Line, reason string) {
	l.Reason, l.Addr = reason, s.client.addr
}

// accuseBySession does so for a line that does not name the client.
func (s *session) accuseBySession(l *Line, reason string) {
	s.accuse(l, reason)
	l.ViaSession = true
}

// choice is what a session does, and how often among others.
type choice struct {
	weight int
	play   func(*session)
}

// pick chooses by weight.
func pick(r *rand.Rand, choices []choice) func(*session) {
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := r.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.play
		}
	}
	panic("unreachable: the weights add up")
}

func (s *session) oneOf(words ...string) string { return words[s.random.IntN(len(words))] }

var (
	users   = []string{"alice", "bob", "carol", "dave", "erin", "office", "sales", "info", "webmaster", "root"}
	strays  = []string{"admin", "test", "nosuch", "sales1", "contact", "marketing", "jobs", "support2", "oldboss"}
	domains = []string{"lab.example", "shop.example", "school.example"}
)

func (s *session) user() string  { return s.oneOf(users...) + "@" + s.oneOf(domains...) }
func (s *session) stray() string { return s.oneOf(strays...) + "@" + s.oneOf(domains...) }
func (s *session) stranger() string {
	return fmt.Sprintf("%s%d@sender%d.example", s.oneOf(users...), s.random.IntN(500), s.random.IntN(3000))
}
