package lab

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"uppercut/deploy/netns"
)

// How long a client waits for an answer: a busy mail host may take its time,
// but who expects to be blocked need not wait for long.
const (
	patience  = 20 * time.Second
	suspicion = 5 * time.Second
)

// Refusal is one offence that a client knows it was logged for.
type Refusal struct {
	Host   string    // the mail host that refused
	Reason string    // the class, as uppercut names it
	At     time.Time // when the client read the reply; the log line is older
}

// dialogue is one SMTP session, seen by the client. After an error it says
// nothing more; the first error stands in err.
type dialogue struct {
	host     string
	number   int           // of the client's sessions, from 0
	wait     time.Duration // for each answer
	wary     bool          // expects to be blocked once it has been refused
	conn     net.Conn
	lines    *bufio.Reader
	refusals []Refusal
	accepted int  // messages that the host took
	greeted  bool // the host has said 220
	err      error
	end      func() // closes the connection without a word
}

// errSilence: the host, or the gateway before it, does not answer.
var errSilence = errors.New("no answer")

// call connects to a mail host from addr and waits for each answer that long.
// The connection closes when ctx ends.
func call(ctx context.Context, internet *netns.Namespace, addr netip.Addr, host string, wait time.Duration) *dialogue {
	connecting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	to := net.JoinHostPort(hostNamed(host).addressFor(addr).String(), "25")
	conn, err := internet.Dial(connecting, from(addr), "tcp", to)
	if err != nil {
		return &dialogue{host: host, err: silence(err), end: func() {}}
	}
	closeLater := context.AfterFunc(ctx, func() { conn.Close() })
	return &dialogue{
		host: host, wait: wait, conn: conn, lines: bufio.NewReader(conn),
		end: func() { closeLater(); conn.Close() },
	}
}

// from is a dialer that binds a client's address.
func from(addr netip.Addr) *net.Dialer {
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))}
}

// silence tells a host that does not answer from other errors.
func silence(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return errSilence
	}
	return err
}

// write sends raw bytes.
func (d *dialogue) write(raw string) {
	if d.err != nil {
		return
	}
	_, err := d.conn.Write([]byte(raw))
	d.err = silence(err)
}

// read returns the last line of the next reply, "" after an error.
func (d *dialogue) read() string {
	for d.err == nil {
		_ = d.conn.SetReadDeadline(time.Now().Add(d.wait))
		line, err := d.lines.ReadString('\n')
		if err != nil {
			d.err = silence(err)
			break
		}
		if len(line) > 3 && line[3] != '-' {
			return strings.TrimRight(line, "\r\n")
		}
	}
	return ""
}

// expect reads a reply that must begin with code.
func (d *dialogue) expect(code string) string {
	reply := d.read()
	d.greeted = d.greeted || strings.HasPrefix(reply, "220")
	if d.err == nil && !strings.HasPrefix(reply, code) {
		d.err = fmt.Errorf("%s says %q instead of %s", d.host, reply, code)
	}
	return reply
}

// must says a command whose answer must begin with code.
func (d *dialogue) must(code, command string) {
	d.write(command + "\r\n")
	d.expect(code)
}

// offend says a command that must be refused with code, for a reason.
func (d *dialogue) offend(reason, code, command string) {
	d.write(command + "\r\n")
	d.refused(reason, code)
}

// refused reads a refusal.
func (d *dialogue) refused(reason, code string) {
	d.expect(code)
	if d.err == nil {
		d.refusals = append(d.refusals, Refusal{Host: d.host, Reason: reason, At: time.Now()})
		if d.wary {
			d.wait = suspicion
		}
	}
}

// hello waits for the greeting and answers it.
func (d *dialogue) hello(name string) {
	d.expect("220")
	d.must("250", "EHLO "+name)
}

// from opens a mail transaction.
func (d *dialogue) from(sender string) { d.must("250", "MAIL FROM:<"+sender+">") }

// deliver sends one message and counts it where it was taken.
func (d *dialogue) deliver(from string, to ...string) {
	d.from(from)
	for _, recipient := range to {
		d.must("250", "RCPT TO:<"+recipient+">")
	}
	d.content("hello")
	if d.err == nil {
		d.accepted++
	}
}

func (d *dialogue) content(subject string) {
	d.must("354", "DATA")
	d.must("250", "From: <user@good.example>\r\nSubject: "+subject+"\r\n\r\nhello\r\n.")
}

// credentials are the initial response of AUTH PLAIN (RFC 4616).
func credentials(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// quit ends the session in good order. A host that hangs up first is fine.
func (d *dialogue) quit() {
	if d.err != nil {
		return
	}
	d.write("QUIT\r\n")
	d.read()
	if !errors.Is(d.err, errSilence) {
		d.err = nil
	}
}
