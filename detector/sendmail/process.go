package sendmail

import "time"

const (
	// The queue ids of a process carry the second in which it began. None of
	// its lines is older, save for rounding: clockSlack. Its first, "connect
	// from" or check_relay, comes within beginSlack seconds of it, for IDENT and
	// DNS may take their time.
	clockSlack = 2
	beginSlack = 60
	// A line without queue id may be this old when a queue id claims it, in
	// seconds. Well below quarter.
	maxAnonymous = 300
	// No PID comes again within this time, in seconds.
	soon = 5
)

// session returns the session that the line belongs to, a new one if the
// process of an old one has been replaced.
func (m *Memory) session(in *Input, pid uint32) *session {
	rec := in.Record
	key, now := in.Host.session(pid), in.Time.Unix()
	s := m.sessions.find(key)
	if s != nil && m.tooOld(s.place, now) {
		m.stats.Expired++
		m.remove(s)
		s = nil
	}
	if s == nil {
		s = m.add(key, in)
	} else if !m.continues(s, in, now) {
		m.stats.Reused++
		m.reset(s)
		s.first = now
	}
	if rec.began != 0 {
		if s.began == 0 && in.PID == rec.PID {
			m.sessions.clockOf(s).learn(rec.began, now)
		}
		s.began = rec.began
	}
	if rec.Begins {
		s.flags |= hasBegun
	}
	m.sessions.touch(s, now)
	return s
}

// continues says whether the line can be of the session s. Queue ids name their
// process beyond doubt. Lines without one do only while nothing speaks against
// it, for PIDs come again.
func (m *Memory) continues(s *session, in *Input, now int64) bool {
	rec, addr := in.Record, in.client
	t := rec.began
	silent := now - m.sessions.last(s)
	switch {
	case t != 0 && s.began != 0:
		return t == s.began
	case t != 0:
		return m.claims(t, s, now)
	case s.is(hasEnded), silent > int64(m.o.MaxAge/time.Second), silent < -maxAnonymous:
		return false
	case rec.Begins && s.began == 0:
		return addr.IsValid() && s.addr() == addr && now-s.first <= beginSlack
	case rec.Begins:
		// lines of two connections of one sender may overtake one another
		late, _ := m.sessions.clockOf(s).lateness(s.began, now)
		return (!s.is(hasClient) || s.addr() == addr) && late <= beginSlack
	case addr.IsValid() && s.is(hasClient):
		// so soon it is the same process, and one of its two clients is made up
		return addr == s.addr() || silent <= soon
	}
	// what waits in a session of another process is dropped when that shows
	return silent <= soon || s.began != 0 || s.is(hasClient)
}

// claims says whether a process that began at t, as its queue ids say, can have
// written the lines without queue id that the session s consists of.
func (m *Memory) claims(t uint64, s *session, now int64) bool {
	switch age := now - s.first; {
	case age >= 0 && age <= soon:
		return true // whatever the host's clock is
	case age > maxAnonymous && !s.is(hasClient), age < -maxAnonymous:
		return false
	}
	late, span := m.sessions.clockOf(s).lateness(t, s.first)
	if late >= span-clockSlack || late <= beginSlack {
		return true
	}
	// A process that began before this PID's line is the one that wrote it.
	longest := int64(quarter - maxAnonymous)
	if span == day {
		longest = int64(m.o.MaxAge / time.Second)
	}
	return !s.is(hasBegun) && late <= longest
}

func (m *Memory) add(key uint64, in *Input) *session {
	now := in.Time.Unix()
	m.expire(in.Host, now)
	if m.sessions.count >= m.o.MaxSessions {
		m.stats.Evicted++
		m.evict(in.Host)
	}
	m.number++
	s := m.sessions.add(key, m.sessions.queueOf(in.Host))
	s.number, s.first = m.number, now
	return s
}

// evict gives up the oldest session of a host, or of any if it has none: who
// speaks most makes room first.
func (m *Memory) evict(host HostKey) {
	q := m.sessions.byHost[host]
	if q == 0 {
		for _, q = range m.sessions.byHost {
			break
		}
	}
	m.remove(m.sessions.at(m.sessions.oldest(q)))
}

// reset makes the session one of a new process.
func (m *Memory) reset(s *session) {
	m.clear(s)
	m.number++
	*s = session{key: s.key, place: s.place, queue: s.queue, number: m.number}
}

// expire removes the sessions of a host that are too old by its own clock.
func (m *Memory) expire(host HostKey, now int64) {
	for q := m.sessions.byHost[host]; q != 0; q = m.sessions.byHost[host] {
		p := m.sessions.oldest(q)
		if !m.tooOld(p, now) {
			return
		}
		m.stats.Expired++
		m.remove(m.sessions.at(p))
	}
}

func (m *Memory) tooOld(p place, now int64) bool {
	return now-m.sessions.turns[p].last > int64(m.o.MaxAge/time.Second)
}

func (m *Memory) remove(s *session) {
	m.clear(s)
	m.sessions.remove(s)
}
