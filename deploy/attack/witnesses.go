package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"
)

// What one key can say as if it were many hosts.

// Networks of the clients that the lines are about.
const (
	partners = "203.0.113."
	guilty   = "198.51.100."
	marker   = "192.0.2.1"
)

// script writes log lines of a host.
type script struct {
	text strings.Builder
	pids int
}

func (s *script) line(host, format string, args ...any) {
	s.pids++
	fmt.Fprintf(&s.text, "<22>%s %s sendmail[%d]: %s\n", time.Now().Format(time.RFC3339), host, 1000+s.pids%(pids-1000), fmt.Sprintf(format, args...))
}

// accepted says that a message of a client was taken.
func (s *script) accepted(host, client string) {
	id := fmt.Sprintf("6AN7%010d", s.pids)
	s.line(host, "%s: from=<a@example.net>, size=1000, class=0, nrcpts=1, msgid=<1@example.net>, proto=ESMTP, daemon=MTA, relay=[%s]", id, client)
	s.pids--
	s.line(host, "%s: to=<b@example.com>, delay=00:00:01, xdelay=00:00:01, mailer=local, pri=31500, dsn=2.0.0, stat=Sent", id)
}

func (s *script) refused(host, client string) { s.line(host, relayRefused, client, client) }

// done has a marker blocked: when it is, everything before has been judged.
func (s *script) done(host string, n int) {
	for range 3 {
		s.line(host, preGreeting, fmt.Sprintf("%s%02d", marker, n), fmt.Sprintf("%s%02d", marker, n))
	}
}

// say plays a script over a connection, and waits until it was judged.
func (t *target) say(ctx context.Context, n int, s *script, host string, dial func(context.Context) (net.Conn, error)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // however long the attack may go on
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	s.done(host, n)
	if _, err := io.WriteString(conn, s.text.String()); err != nil {
		return err
	}
	for {
		if count, err := t.blocked(ctx, fmt.Sprintf("%s%02d", marker, n)); err != nil || count > 0 {
			return err
		}
		if pause(ctx); ctx.Err() != nil {
			return fmt.Errorf("the lines of %s were not judged in time", host)
		}
	}
}

// certified connects with a certificate.
func (t *target) certified(name string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return t.dialTLS(ctx, name) }
}

// blocked counts the blocks of addresses that begin like that.
func (t *target) blocked(ctx context.Context, beginning string) (n int, err error) {
	out, err := exec.CommandContext(ctx, t.program, "--config", t.path("uppercut.yaml"), "blocks", "--limit", "0", beginning).Output()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return 0, err
	}
	for word := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(word, beginning) {
			n++
		}
	}
	return n, nil
}

// manyNames has the holder of one key accuse 200 clients whose mail another host
// takes, as 50 hosts that refuse four each.
func manyNames(ctx context.Context, t *target, r *result) error {
	const clients = 200
	var mail, lies script
	for i := range clients {
		mail.accepted("honest", fmt.Sprintf("%s%d", partners, i))
	}
	for range 4 {
		for i := range clients {
			lies.refused(fmt.Sprintf("mx%d", i/4), fmt.Sprintf("%s%d", partners, i))
		}
	}
	err := errors.Join(
		t.say(ctx, 10, &mail, "honest", t.certified("honest")),
		t.say(ctx, 11, &lies, "mx0", t.certified("thief")),
	)
	if err != nil {
		return err
	}
	r.partnersBlocked, err = t.blocked(context.WithoutCancel(ctx), partners)
	return err
}

// fullSet has a host report 400 clients, and the holder of a key then more than
// the set holds, with as high a score and a later end.
func fullSet(ctx context.Context, t *target, r *result) error {
	const genuine, forged = 400, 5000
	var truth, lies script
	for i := range genuine {
		for range 3 {
			client := fmt.Sprintf("23.9.%d.%d", i/200, 1+i%200)
			truth.line("honest", preGreeting, client, client)
		}
	}
	for i := range forged {
		for range 3 {
			client := fmt.Sprintf("33.9.%d.%d", i/200, 1+i%200)
			lies.line("thief", preGreeting, client, client)
		}
	}
	if err := t.say(ctx, 10, &truth, "honest", t.certified("honest")); err != nil {
		return err
	}
	conn, err := t.dialTLS(ctx, "thief")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, lies.text.String()); err != nil {
		return err
	}
	<-ctx.Done()
	kept, err := t.blocked(context.WithoutCancel(ctx), "23.9.")
	r.evicted = genuine - kept
	thiefs, asked := t.blocked(context.WithoutCancel(ctx), "33.9.")
	if thiefs < 1000 {
		return fmt.Errorf("the set was not filled: %d", thiefs)
	}
	return errors.Join(err, asked)
}

// fillHosts has the holder of one key, and an address, write under 1,040 names.
// Then one new host refuses everybody, and another one tells of ten guilty.
func fillHosts(ctx context.Context, t *target, r *result) error {
	var fill [2]script
	var mail, broken, honest script
	for i := range 1040 {
		fill[i%2].line(fmt.Sprintf("h%d", i), "x: y")
	}
	for i := range 20 {
		mail.accepted("honest", fmt.Sprintf("%s%d", partners, i))
	}
	for range 3 {
		for i := range 20 {
			broken.refused("broken", fmt.Sprintf("%s%d", partners, i))
		}
		for i := range 10 {
			for range 2 {
				honest.refused("new", fmt.Sprintf("%s%d", guilty, i))
			}
		}
	}
	plain := func(from string) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return t.dial(ctx, from, tcpAddress) }
	}
	err := errors.Join(
		t.say(ctx, 14, &mail, "honest", t.certified("honest")),
		t.say(ctx, 10, &fill[0], "h0", t.certified("thief")),
		t.say(ctx, 11, &fill[1], "h1", plain("127.6.6.6")),
		t.say(ctx, 12, &broken, "broken", plain("127.7.7.1")),
		t.say(ctx, 13, &honest, "new", plain("127.7.7.2")),
	)
	if err != nil {
		return err
	}
	free, err := t.blocked(context.WithoutCancel(ctx), guilty)
	r.guiltyFree = 10 - free
	return err
}
