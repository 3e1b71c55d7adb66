package sendmail

import (
	"strings"

	"uppercut/detector/offence"
)

// readMilter reads what milters did (srvrsmtp.c, milter.c). The lines
// "milter=NAME, action=..." tell the same once more and are left out, except
// quarantine, which is told nowhere else.
func readMilter(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "Milter: ")
	if !ok {
		return false
	}
	if rest, ok := strings.CutPrefix(s, "connect: host="); ok {
		return milterConnect(rest, rec)
	}
	n := hostLength(s)
	step, rest := s[:n], s[n:]
	if arg, ok := strings.CutPrefix(rest, "="); ok {
		rec.NullSender = step == "from" && strings.HasPrefix(arg, "<>, ")
		if i := strings.LastIndex(arg, ", reject="); i >= 0 && step == "helo" {
			arg = arg[i:] // with AllowBogusHELO the name is free text
		}
		milterAction(behindArgument(arg), rec)
	} else if what, ok := strings.CutPrefix(rest, ", "); ok {
		milterAction(what, rec)
	}
	return true
}

// behindArgument returns what follows a client's argument and ", ".
func behindArgument(s string) string {
	if end := pathEnd(s); end > 0 && s[end-1] == ',' {
		return s[end+1:]
	}
	if i := strings.LastIndex(s, ", reject="); i >= 0 {
		return s[i+2:]
	}
	if i := strings.LastIndex(s, ", "); i >= 0 {
		return s[i+2:]
	}
	return ""
}

func milterAction(what string, rec *Record) {
	switch {
	case strings.HasPrefix(what, "reject="):
		rec.Temporary = strings.HasPrefix(what, "reject=4")
		rec.accuse(offence.LineMilter, offence.MilterReject)
	case what == "reject":
		rec.accuse(offence.LineMilter, offence.MilterReject)
	case what == "tempfail":
		rec.Temporary = true
		rec.accuse(offence.LineMilter, offence.MilterReject)
	case strings.HasPrefix(what, "discard"):
		rec.accuse(offence.LineMilter, offence.MilterDiscard)
	case strings.HasPrefix(what, "quarantine="):
		rec.accuse(offence.LineMilter, offence.MilterQuarantine)
	}
}

// milterConnect reads "HOST, addr=ADDR, rejecting commands".
func milterConnect(s string, rec *Record) bool {
	n := hostOrBracket(s)
	rest, ok := strings.CutPrefix(s[n:], ", addr=")
	if !ok || n == 0 {
		return true
	}
	addr, what, ok := strings.Cut(rest, ", ")
	if !ok {
		return true
	}
	switch {
	case strings.HasPrefix(what, "reject"):
	case strings.HasPrefix(what, "temp"), strings.HasPrefix(what, "shutdown"):
		rec.Temporary = true
	default:
		return true
	}
	rec.Addr = barePeer(addr)
	return rec.accuse(offence.LineMilter, offence.MilterReject)
}

func readMilterQuarantine(s string, rec *Record) bool {
	s, ok := strings.CutPrefix(s, "milter=")
	if !ok {
		return false
	}
	n := hostLength(s)
	what, ok := strings.CutPrefix(s[n:], ", ")
	if !ok || n == 0 {
		return false
	}
	if strings.HasPrefix(what, "quarantine=") {
		rec.accuse(offence.LineMilter, offence.MilterQuarantine)
	}
	return true
}
