package sendmail

const (
	quarter = 15 * 60 // seconds
	day     = 24 * 60 * 60
)

// idClock knows by how much the times of a host's lines are ahead of those in
// its queue ids. The ids are in UTC (gmtime in assign_queueid, queue.c) and the
// lines should be; before their zone is known they may be off by any multiple of
// a quarter of an hour.
type idClock struct {
	known            bool
	steps, candidate int8 // quarters of an hour, 0 to 95
	agree            int8 // processes in a row that spoke for the candidate
}

// enoughProcesses is how many processes in a row must agree.
const enoughProcesses = 8

// learn takes the first line with a queue id that a process wrote itself. Most
// do so within a quarter of an hour of their beginning.
func (c *idClock) learn(t uint64, line int64) {
	steps := int8(modulo(line+clockSlack-idSeconds(t), day) / quarter)
	if steps != c.candidate {
		c.candidate, c.agree = steps, 0
	}
	if c.agree = min(c.agree+1, enoughProcesses); c.agree == enoughProcesses {
		c.known, c.steps = true, steps
	}
}

// lateness is how many seconds after the second t, that the queue ids of its
// process carry, a line was written: modulo a day if it is known how the clocks
// differ, else modulo a quarter of an hour.
func (c *idClock) lateness(t uint64, line int64) (late, span int64) {
	late, span = line-idSeconds(t), quarter
	if c.known {
		late, span = late-int64(c.steps)*quarter, day
	}
	return modulo(late, span), span
}

func modulo(n, m int64) int64 { return (n%m + m) % m }

// idSeconds is the time of day in a queue id.
func idSeconds(t uint64) int64 {
	return int64(idDigit(byte(t>>24))*3600 + idDigit(byte(t>>32))*60 + idDigit(byte(t>>40)))
}

// idDigit is the value of a character of a queue id, -1 if it is none: such an
// id has no time, and what is made of it only has to be the same each time.
func idDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'x':
		return int(c-'a') + 36
	}
	return -1
}
