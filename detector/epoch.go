package detector

import (
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// Epoch is what some lines have said, on its way from the reader to the judge. The
// zero value is empty.
//
// A Detector has two halves. The reader knows senders: whose line it is, when it was
// written, whether it came before, and what it proves together with the others of
// its session. The judge knows sources: scores, favour, blocks. Nothing goes back
// from the judge to the reader, so that each half can have a goroutine: AheadRead
// and Read the one, Judge the other. For all other methods, Observe and Tick among
// them, both have to be idle.
type Epoch struct {
	reads  []read
	events []offence.Event
	// repeated are the places in events of those that came before.
	repeated []int
}

// read is what a line has said.
type read struct {
	line *Line
	host *host // nil for a line of another program
	// end is where in the events of the epoch those of the line end.
	end int
}

// Len is how many lines an Epoch holds.
func (e *Epoch) Len() int { return len(e.reads) }

// Reset empties an Epoch. What it held pins nothing any more.
func (e *Epoch) Reset() {
	clear(e.reads)
	clear(e.events)
	e.reads, e.events, e.repeated = e.reads[:0], e.events[:0], e.repeated[:0]
}

// Apart says that Read and Judge run on two goroutines. wait must return when Judge
// has had all that Read has put into epochs, that to which it adds included, which
// is empty then. Read calls it before it makes a host for a name, since that may
// take the place of another host; as a rule once for each host.
func (d *Detector) Apart(wait func()) { d.quiet = wait }

// Read reads a line and adds what it says to e. The line must stay as it is until
// Judge has had e.
func (d *Detector) Read(l *Line, e *Epoch) {
	d.metrics.judged.Inc()
	d.hosts.arrived(l.Received)
	if l.hostKey == 0 {
		l.Digest()
	}
	if d.quiet != nil && d.hosts.known(l) == nil {
		e.reads = append(e.reads, read{line: l, end: len(e.events)}) // its time goes on before
		d.quiet()
	}
	if l.program == 0 && !d.judgement.ours(l.Tag) {
		d.foreign(l)
		e.reads = append(e.reads, read{line: l, end: len(e.events)})
		return
	}
	h := d.hosts.of(l)
	d.line, d.unknown = l, false
	if l.program != 0 {
		d.metrics.programs[l.program][l.Record.Kind].Inc()
	}
	duplicate := matters(&l.Record) && h.sender.duplicates.seen(lineHash(l, h))
	if duplicate {
		d.metrics.duplicates.Inc()
		d.noteDuplicate(l.Number)
	}
	before := len(e.events)
	e.events = d.memory.Observe(sendmail.Input{
		Line: l.Number, Time: d.timeOf(l, h), Host: l.sessionKey, PID: l.PID, Record: &l.Record,
		Tag: len(l.Tag), Transport: l.route(), Cut: l.Cut,
	}, e.events)
	d.line = nil
	d.lines.of(l).read(d.unknown, l.Received)
	d.markRepeated(e, before)
	if duplicate && len(e.events) > before && l.Record.Reason == offence.ReasonNone && l.Record.Kind != offence.LineFrom {
		delete(d.duplicates, l.Number)
	}
	d.await(l)
	e.reads = append(e.reads, read{line: l, host: h, end: len(e.events)})
}

// markRepeated marks the events from a place on whose lines came before.
func (d *Detector) markRepeated(e *Epoch, from int) {
	for i := from; i < len(e.events); i++ {
		if d.isRepeated(e.events[i].Line) {
			e.repeated = append(e.repeated, i)
		}
	}
}

// isRepeated tells, once, whether a line was a duplicate.
func (d *Detector) isRepeated(number uint64) bool {
	if len(d.duplicates) == 0 {
		return false
	}
	_, repeated := d.duplicates[number]
	delete(d.duplicates, number)
	return repeated
}

// Judge judges what an epoch holds and calls each with the verdicts of every line
// that has any; they are valid until it returns.
func (d *Detector) Judge(e *Epoch, each func([]Verdict)) {
	next, fetched, repeated := 0, 0, e.repeated
	for i := range e.reads {
		r := &e.reads[i]
		d.begin(r.line.Received)
		for ; next < r.end; next++ {
			if next == fetched {
				fetched = min(next+MaxAhead, len(e.events))
				d.fetchSources(e.events[next:fetched])
			}
			again := len(repeated) > 0 && repeated[0] == next
			if again {
				repeated = repeated[1:]
			}
			d.event(r.line, &e.events[next], r.host, again)
		}
		if len(d.verdicts) > 0 {
			each(d.verdicts)
		}
	}
}
