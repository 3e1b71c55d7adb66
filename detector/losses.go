package detector

import (
	"strconv"
	"strings"
)

// The log daemons of a mail host say in lines of their own when they have
// dropped lines. The texts are those of systemd's journald (219 to 257), of
// rsyslog (5 to 8.2504: imuxsock, imjournal, queues, impstats) and of syslog-ng
// (3.38, 4.8).

// daemon is a program that takes the lines of others.
type daemon uint8

const (
	noDaemon daemon = iota
	journald
	rsyslogd
	rsyslogStats // impstats of rsyslogd
	syslogNG
)

// daemonOf returns the log daemon that writes under a tag. rsyslogd adds the
// number of an error to its own; RHEL 7 calls journald journal.
func daemonOf(tag string) daemon {
	switch {
	case strings.HasPrefix(tag, "systemd-journal"), tag == "journal":
		return journald
	case tag == "rsyslogd-pstats":
		return rsyslogStats
	case strings.HasPrefix(tag, "rsyslogd"):
		return rsyslogd
	case tag == "syslog-ng":
		return syslogNG
	}
	return noDaemon
}

// loss is what one line says of lines that were dropped.
type loss struct {
	lines uint64
	// unknown: some were, and the line does not say how many.
	unknown bool
	// counter is what lines counts since the daemon started, "" if it is a
	// number of its own.
	counter string
}

// lossOf reads a line of a log daemon; false if it tells of no loss.
func lossOf(d daemon, text string) (loss, bool) {
	switch d {
	case journald:
		return journaldLoss(text)
	case rsyslogd:
		return rsyslogLoss(text)
	case rsyslogStats:
		return queueLoss(text)
	case syslogNG:
		return syslogNGLoss(text)
	case noDaemon:
	}
	return loss{}, false
}

// journaldLoss reads "Suppressed N messages from UNIT" and "Forwarding to syslog
// missed N messages.".
func journaldLoss(text string) (loss, bool) {
	for _, head := range [...]string{"Suppressed ", "Forwarding to syslog missed "} {
		if rest, ok := strings.CutPrefix(text, head); ok {
			n, rest := leadingNumber(rest)
			return loss{lines: n}, n > 0 && strings.HasPrefix(rest, " message")
		}
	}
	return loss{}, false
}

// rsyslogLosses are the texts in which a number of lost lines stands behind or
// before a phrase.
var rsyslogLosses = [...]struct {
	phrase string
	before bool // the number stands before it
}{
	{" messages lost due to rate-limiting", true},
	{"imuxsock lost ", false}, // rsyslog 5 to 7: "imuxsock lost N messages from pid P due to rate-limiting"
	{": lost ", false},        // "QUEUE: lost N messages from diskqueue"
	{": queue files contain ", false},
	{": queue holds ", false}, // "... after shutdown of workers ... data will be discarded"
}

// rsyslogLoss reads what rsyslogd says of its limits and of its queues.
func rsyslogLoss(text string) (loss, bool) {
	for _, told := range rsyslogLosses {
		at := strings.Index(text, told.phrase)
		if at < 0 {
			continue
		}
		if told.before {
			if n := trailingNumber(text[:at]); n > 0 {
				return loss{lines: n}, true
			}
		} else if n, rest := leadingNumber(text[at+len(told.phrase):]); n > 0 && strings.HasPrefix(rest, " messages") {
			return loss{lines: n}, true
		}
	}
	switch {
	case strings.Contains(text, "begin to drop messages due to rate-limiting"),
		strings.Contains(text, "begins to drop messages from pid"), // rsyslog 5 to 7
		strings.Contains(text, "some data may be lost"), strings.Contains(text, "need to do hard cancellation"):
		return loss{unknown: true}, true
	case strings.Contains(text, " message lost, could not be processed"):
		return loss{lines: 1}, strings.Contains(text, "omfwd") || strings.Contains(text, "omrelp")
	}
	return loss{}, false
}

// maxQueueName bounds the name of a queue that is followed, in bytes.
const maxQueueName = 100

// queueLoss reads what impstats counts of a queue through which our lines may
// go, in each of its formats: the main queue, and those of actions that forward.
//
//	uppercut queue: origin=core.queue size=4996 ... discarded.full=150780 discarded.nf=0 ...
//	@cee: { "name": "uppercut queue", "origin": "core.queue", "size": 4996, ..., "discarded.full": 150780, "discarded.nf": 0, ...}
func queueLoss(text string) (loss, bool) {
	name, counts, ok := strings.Cut(text, ": origin=core.queue ")
	equals := "="
	if !ok {
		if _, text, ok = strings.Cut(text, `"name": "`); ok {
			name, counts, ok = strings.Cut(text, `", "origin": "core.queue"`)
		}
		equals = `": `
	}
	if !ok || len(name) > maxQueueName || !strings.HasPrefix(name, "main Q") && !strings.Contains(name, "uppercut") &&
		!strings.Contains(name, "omfwd") && !strings.Contains(name, "omrelp") {
		return loss{}, false
	}
	l := loss{counter: name}
	for _, key := range [...]string{"discarded.full", "discarded.nf"} {
		if _, number, ok := strings.Cut(counts, key+equals); ok {
			n, _ := leadingNumber(number)
			l.lines += n
		}
	}
	return l, true
}

// syslogNGLoss reads the statistics, which alone tell of a full queue unless
// syslog-ng runs with --debug, "Destination queue full, dropping message[s]", and
// "message(s) dropped".
func syslogNGLoss(text string) (loss, bool) {
	if counts, ok := strings.CutPrefix(text, "Log statistics; "); ok {
		return statisticsLoss(counts)
	}
	if !strings.Contains(text, " queue full, dropping message") && !strings.Contains(text, "essage(s) dropped") {
		return loss{}, false
	}
	for _, key := range [...]string{" count='", " number_of_dropped_messages='"} {
		if _, value, ok := strings.Cut(text, key); ok {
			if n, _ := leadingNumber(value); n > 0 {
				return loss{lines: n}, true
			}
		}
	}
	if strings.Contains(text, "dropping message;") {
		return loss{lines: 1}, true
	}
	return loss{unknown: true}, true
}

// statisticsLoss adds up dropped='dst.KIND(NAME#...)=N': of the destinations that
// are named after us or, if none is, of all that send over the network.
func statisticsLoss(counts string) (loss, bool) {
	const key = "dropped='dst."
	own, others := uint64(0), uint64(0)
	named, sends := false, false
	for field := range strings.SplitSeq(counts, ", ") {
		destination, ok := strings.CutPrefix(field, key)
		if !ok {
			continue
		}
		n := trailingNumber(strings.TrimSuffix(destination, "'"))
		kind, name, _ := strings.Cut(destination, "(")
		if strings.Contains(name, "uppercut") {
			own, named = own+n, true
		} else if isNetwork(kind) {
			others, sends = others+n, true
		}
	}
	if named {
		others = own
	}
	return loss{lines: others, counter: "syslog-ng"}, named || sends
}

// isNetwork tells the drivers of syslog-ng that send over the network.
func isNetwork(driver string) bool {
	switch driver {
	case "syslog", "network", "tcp", "tcp6", "udp", "udp6":
		return true
	}
	return false
}

// leadingNumber takes the number at the start of s off; 0 if there is none, or
// none that fits.
func leadingNumber(s string) (n uint64, rest string) {
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseUint(s[:digits], 10, 48)
	if err != nil {
		return 0, s
	}
	return n, s[digits:]
}

// trailingNumber is the number at the end of s, 0 if there is none.
func trailingNumber(s string) uint64 {
	start := len(s)
	for start > 0 && s[start-1] >= '0' && s[start-1] <= '9' {
		start--
	}
	n, _ := leadingNumber(s[start:])
	return n
}
