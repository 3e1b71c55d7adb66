package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// syslogBatch is how many messages are written before somebody looks whether
// the connection still stands.
const syslogBatch = 100

// Facility daemon, and two severities.
const (
	facilityDaemon = 3 << 3
	severityNotice = 5
	severityInfo   = 6
)

// syslogTimeout is how long connecting, and writing a batch, may take.
const syslogTimeout = 10 * time.Second

// syslog sends events as RFC 5424 messages whose text is JSON behind the cookie
// "@cee:", which rsyslog's mmjsonparse and syslog-ng's json-parser look for.
// Streams have octet-counted frames (RFC 6587). Syslog has no
// acknowledgements: delivered is what the kernel has taken.
type syslog struct {
	network, where string
	host, pid      string
	conn           net.Conn // nil: not connected
}

func newSyslog(address string) *syslog {
	network, where, _ := splitAddress(address) // Validate has seen it
	host, err := os.Hostname()
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		host = "-"
	}
	return &syslog{network: network, where: where, host: host, pid: strconv.Itoa(os.Getpid())}
}

// send implements target.
func (s *syslog) send(ctx context.Context, batch []Event) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	conn := s.conn
	err := conn.SetWriteDeadline(time.Now().Add(syslogTimeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	for _, e := range batch {
		if err != nil {
			break
		}
		err = s.write(e)
	}
	if err != nil {
		s.close()
		return fmt.Errorf("send to %s: %w", s.where, err)
	}
	return nil
}

// connect makes sure of a connection that still stands. A peer that has hung
// up would swallow one write without a word.
func (s *syslog) connect(ctx context.Context) error {
	if s.conn != nil && s.stands() {
		return nil
	}
	s.close()
	dial := net.Dialer{Timeout: syslogTimeout}
	networks := []string{s.network}
	if s.network == "unix" {
		networks = []string{"unixgram", "unix"} // as syslog(3) tries them
	}
	var errs []error
	for _, network := range networks {
		conn, err := dial.DialContext(ctx, network, s.where)
		if err == nil {
			s.conn = conn
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stands says whether a stream was not closed by the other side, which never
// sends anything.
func (s *syslog) stands() bool {
	if !s.stream() {
		return true
	}
	if s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	_, err := s.conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *syslog) stream() bool {
	network := s.conn.RemoteAddr().Network()
	return network == "tcp" || network == "unix"
}

func (s *syslog) write(e Event) error {
	message, err := s.format(e)
	if err != nil {
		return err
	}
	if s.stream() {
		message = append(fmt.Appendf(nil, "%d ", len(message)), message...)
	}
	_, err = s.conn.Write(message)
	return err
}

// format writes e as RFC 5424, section 6, says.
func (s *syslog) format(e Event) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	severity := severityInfo
	if e.Kind == Breaker {
		severity = severityNotice
	}
	const stamp = "2006-01-02T15:04:05.000000Z07:00"
	return fmt.Appendf(nil, "<%d>1 %s %s uppercut %s %s - @cee: %s",
		facilityDaemon|severity, e.Time.UTC().Format(stamp), s.host, s.pid, e.Kind, text), nil
}

func (s *syslog) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
