package sendmail

import (
	"slices"
	"time"

	"uppercut/detector/offence"
)

// A VRFY or EXPN that check_vrfy or check_expn refuses is logged twice
// (srvrsmtp.c): the command, then the ruleset's record, which says more. So the
// command waits for the next line of its process.

const (
	// maxTold bounds the commands that wait.
	maxTold = 64
	// toldSeconds is how much later, by its clock, a line of another process of
	// the host shows that the second line does not come.
	toldSeconds = 2
)

// told is a command that waits, or a line that is held in its session until
// another one may have shown that lines are cut (ProofShort).
type told struct {
	host  HostKey
	key   uint64        // of its session
	event offence.Event // only Line and Time of what is held
	held  bool
}

// tell makes the event of a line wait. The one that has waited for longest makes
// room.
func (m *Memory) tell(w told, dst []offence.Event) []offence.Event {
	if len(m.told) >= maxTold {
		dst = m.release(&m.told[0], dst)
		m.told = slices.Delete(m.told, 0, 1)
	}
	m.told = append(m.told, w)
	return dst
}

// release gives out the event of a line that has waited for long enough.
func (m *Memory) release(w *told, dst []offence.Event) []offence.Event {
	if !w.held {
		return append(dst, w.event)
	}
	s := m.sessions.find(w.key)
	if s == nil || s.extras == 0 {
		return dst
	}
	return m.proveSession(s, func(h *held) bool {
		return h.event.Line == w.event.Line && h.needsRoute() && !h.route.cutsAt(h.length)
	}, dst)
}

// hear gives out the commands that were not refused, now that a line of their
// host has come.
func (m *Memory) hear(in *Input, dst []offence.Event) []offence.Event {
	key := in.Host.session(process(in.PID, in.Record))
	kept := m.told[:0]
	for i := range m.told {
		switch w := &m.told[i]; {
		case w.key == key && !w.held && (in.Record.Ruleset == CheckVrfy || in.Record.Ruleset == CheckExpn):
			// told again
		case w.key == key && !w.held, w.host == in.Host && in.Time.Unix()-w.event.Time.Unix() >= toldSeconds:
			dst = m.release(w, dst)
		default:
			kept = append(kept, *w)
		}
	}
	clear(m.told[len(kept):])
	m.told = kept
	return dst
}

// Waiting returns the number of the last line whose event waits for the next line
// of its process; 0 if there is none.
func (m *Memory) Waiting() uint64 {
	if len(m.told) == 0 {
		return 0
	}
	return m.told[len(m.told)-1].event.Line
}

// Settle appends the event of a line that still waits for the next line of its
// process. The caller decides that it has waited for long enough.
func (m *Memory) Settle(line uint64, dst []offence.Event) []offence.Event {
	for i := range m.told {
		if m.told[i].event.Line == line {
			dst = m.release(&m.told[i], dst)
			m.told = slices.Delete(m.told, i, i+1)
			break
		}
	}
	return dst
}

// SettleAfter is how long, in arrival, an event should wait for Settle.
const SettleAfter = toldSeconds * time.Second
