package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/detector/offence"
	"uppercut/detector/sendmail"
)

// explainer says of each line what was read in it, and by which rule.
type explainer struct {
	in     *input
	out    *bufio.Writer
	events []offence.Event
}

// Explain explains every line of sendmail's.
func Explain(ctx context.Context, o Options) error {
	in := o.input()
	x := &explainer{in: in, out: bufio.NewWriter(o.Stdout)}
	d, err := detector.New(o.Config.Detector, detector.Options{
		OnEvent: func(_ *detector.Line, e *offence.Event) { x.events = append(x.events, *e) },
	})
	if err != nil {
		return err
	}
	err = in.each(ctx, o.Config.Detector, func(l *detector.Line) {
		x.events = x.events[:0]
		d.Observe(l)
		x.explain(l)
	})
	x.events = x.events[:0]
	d.Tick(theEnd)
	for i := range x.events {
		fmt.Fprintf(x.out, "at the end\n    %s\n", x.eventText(&x.events[i], 0))
	}
	return errors.Join(err, x.out.Flush(), in.warn(o.Stderr))
}

func (x *explainer) explain(l *detector.Line) {
	fmt.Fprintf(x.out, "%s  %s %s[%d]: %s\n", x.place(l.Number), l.Host, l.Tag, l.PID,
		terminal.Shortened(l.Mask(), 160))
	fmt.Fprintf(x.out, "    %s\n", lineText(l))
	if l.Record.Count > 1 {
		fmt.Fprintf(x.out, "    R1: it happened %d times\n", l.Record.Count)
	}
	proven := false
	for i := range x.events {
		fmt.Fprintf(x.out, "    %s\n", x.eventText(&x.events[i], l.Number))
		proven = proven || x.events[i].Line == l.Number
	}
	if l.Record.Reason != offence.ReasonNone && !proven {
		fmt.Fprintf(x.out, "    %s, held until %s\n", l.Record.Reason, waitText(&l.Record))
	}
}

// waitText says what an offence waits for.
func waitText(rec *sendmail.Record) string {
	switch {
	case rec.Addr.IsValid() && rec.Proof == sendmail.ProofOwn:
		return "the next line of its process, which may report it again (R10)"
	case rec.Addr.IsValid() && rec.Proof == sendmail.ProofShort:
		return "two seconds have passed (R8)"
	}
	return "a line of its session proves the client (R10)"
}

// place is where a line stands: its number, with the file if there are several.
func (x *explainer) place(number uint64) string {
	if len(x.in.paths) == 1 {
		return fmt.Sprint(lineOf(number))
	}
	return fmt.Sprintf("%s:%d", x.in.paths[fileOf(number)], lineOf(number))
}

// eventText says what the line of that number proved.
func (x *explainer) eventText(e *offence.Event, number uint64) string {
	what := "offence " + e.Reason.String()
	switch e.Kind {
	case offence.Connected:
		what = "connection"
	case offence.Accepted:
		what = "accepted message"
	case offence.Authenticated:
		what = "successful AUTH"
	case offence.Delivered:
		what = "delivery"
	}
	text := fmt.Sprintf("%s of %s", what, e.Addr)
	if e.Kind == offence.Delivered {
		text = fmt.Sprintf("%s to %s", what, e.Addr)
	}
	if e.Line != number {
		text += ", from line " + x.place(e.Line)
		if e.ViaSession {
			text += " of the same session (R10)"
		}
	} else if e.ViaSession {
		text += ", named by another line of the session (R10)"
	}
	return text
}

// lineText says what the line gave or refused, and why.
func lineText(l *detector.Line) string {
	name, rec := l.Program(), &l.Record
	switch {
	case name == "":
		return ruleText(rec)
	case rec.Kind == offence.LineUnknown:
		return name + ": not understood, so it is ignored"
	case rec.Kind == offence.LineInfo:
		return name + ": known, and says nothing about a client"
	case rec.Addr.IsValid():
		return fmt.Sprintf("%s: the client is %s%s", name, rec.Addr, proofText(rec.Proof))
	case rec.Local:
		return name + ": there is no client"
	}
	return name + ": no address is proven"
}

// ruleText says by which rule the line gave or refused an address. The rules
// are those of the documentation of package sendmail.
func ruleText(rec *sendmail.Record) string {
	switch {
	case rec.Part != 0:
		return "R2: part of a split line, read only when complete"
	case rec.Kind == offence.LineUnknown:
		return "R12: looks like sendmail's but is not understood, so it is ignored"
	case rec.Kind == offence.LineInfo:
		return "R11: known, and says nothing about a client"
	}
	rule := grammarRule(rec.Body)
	switch {
	case rec.Local:
		return rule + "; there is no client"
	case rec.Addr.IsValid():
		return fmt.Sprintf("%s; it is %s%s", rule, rec.Addr, proofText(rec.Proof))
	case rule == sessionRule:
		return rule
	}
	return rule + "; no address is proven"
}

// proofText says what it takes for the address to be the client's.
func proofText(p sendmail.Proof) string {
	switch p {
	case sendmail.ProofWhole:
		return " if the line was not truncated: a longer line must come from the same host (R8)"
	case sendmail.ProofShort:
		return " unless lines are truncated there: another line may lose its end (R8)"
	case sendmail.ProofSession:
		return " if another line of the session confirms it: all of this line may be the client's text (R3)"
	}
	return ""
}

// grammarRule is the rule for lines that begin like body.
func grammarRule(body string) string {
	for _, r := range []struct{ prefix, rule string }{
		{"ruleset=check_relay, ", "R4: the client is in relay=, arg2 is not trusted"},
		{"ruleset=check_mail, ", pathRule},
		{"ruleset=check_rcpt, ", pathRule},
		{"ruleset=check_vrfy, ", pathRule},
		{"ruleset=check_expn, ", pathRule},
		{"ruleset=check_etrn, ", pathRule},
		{"ruleset=", "R5: arg1 is free text, so the client counts only if the line names a single one"},
		{"from=", "R6: the client is in relay= at the end, if the sender is one SMTP path"},
		{"to=", "R6: relay= is the destination of the message"},
		{"AUTH", "R8: the client is in the last relay=, if it is complete"},
		{"STARTTLS=", "R8: the client is in the last relay=, if it is complete"},
		{"Milter: connect: ", "R7: the client is named at the start, in sendmail's own words"},
		{"Milter", sessionRule},
		{"collect: ", sessionRule},
		{"timeout ", sessionRule},
		{"SYSERR", sessionRule},
		{"headers too large ", sessionRule},
		{"message size ", sessionRule},
	} {
		if strings.HasPrefix(body, r.prefix) {
			return r.rule
		}
	}
	if strings.HasPrefix(body, "<") || strings.Contains(body, "... ") {
		return sessionRule
	}
	return "R7: the client is named at the start, in sendmail's own words"
}

const (
	pathRule    = "R5: arg1 is one SMTP path, the client is in the first relay= outside it"
	sessionRule = "R9: these lines name no client; the session does"
)
