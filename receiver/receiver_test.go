package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"uppercut/receiver/header"
)

// errTimeout is what a read past its deadline returns.
var errTimeout = os.ErrDeadlineExceeded

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// house is a running receiver and what it has handed over.
type house struct {
	*Receiver
	registry *prometheus.Registry
	stop     func() // cancels Run and waits for it

	mu       sync.Mutex
	messages []Message
	arrived  chan struct{} // closed and replaced at each batch
}

// testConfig listens on loopback, on ports that the kernel chooses.
func testConfig() Config {
	c := DefaultConfig()
	c.UDP, c.TCP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	return c
}

// open runs a receiver until the test ends.
func open(t testing.TB, c Config) *house {
	t.Helper()
	return openWith(t, c, nil)
}

// openWith runs a receiver with a handler of the test's own.
func openWith(t testing.TB, c Config, handle Handler) *house {
	t.Helper()
	h := &house{registry: prometheus.NewRegistry(), arrived: make(chan struct{})}
	if handle == nil {
		handle = h.take
	}
	r, err := New(c, Options{Registerer: h.registry, Handle: handle})
	if err != nil {
		t.Fatal(err)
	}
	h.Receiver = r
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func (h *house) take(batch []Message, judged, release func()) {
	h.mu.Lock()
	for _, m := range batch {
		m.Host, m.Tag, m.Text = strings.Clone(m.Host), strings.Clone(m.Tag), strings.Clone(m.Text)
		h.messages = append(h.messages, m)
	}
	if release != nil {
		release()
	}
	close(h.arrived)
	h.arrived = make(chan struct{})
	h.mu.Unlock()
	if judged != nil {
		judged()
	}
}

// all returns what has come so far.
func (h *house) all() []Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.messages
}

// forget begins anew.
func (h *house) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages = nil
}

// wait returns the messages once there are n.
func (h *house) wait(t testing.TB, n int) []Message {
	t.Helper()
	return h.waitUntil(t, fmt.Sprint(n, " messages"), func(all []Message) bool { return len(all) >= n })
}

// waitFor waits for one message.
func (h *house) waitFor(t testing.TB, is func(Message) bool) {
	t.Helper()
	h.waitUntil(t, "the message", func(all []Message) bool { return slices.ContainsFunc(all, is) })
}

func (h *house) waitUntil(t testing.TB, what string, enough func([]Message) bool) []Message {
	t.Helper()
	timeout := time.After(patience)
	for {
		h.mu.Lock()
		messages, arrived := h.messages, h.arrived
		h.mu.Unlock()
		if enough(messages) {
			return messages
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("never: %s; there are %d messages", what, len(messages))
		}
	}
}

// address returns where the receiver listens for t.
func (h *house) address(t Transport) string { return h.Addrs(t)[0].String() }

// metric returns the sum of a metric's samples whose labels include those
// given as name, value, name, value.
func (h *house) metric(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			has := make(map[string]string)
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && has[labels[i]] == labels[i+1]
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("never: %s", what)
		}
	}
}

// dial connects to the receiver until the test ends.
func dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// isClosed reports whether the receiver closes a new connection by itself; it
// may do so before the connection is seen to be open.
func isClosed(t testing.TB, address string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return true
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	_, err = conn.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, errTimeout)
}

func write(t testing.TB, conn net.Conn, data string) {
	t.Helper()
	if _, err := conn.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
}

func line(n int) string {
	return fmt.Sprintf("<22>Nov 23 07:20:30 mx1 sm-mta[%d]: message %d", n%30000+1, n)
}

func TestDatagrams(t *testing.T) {
	h := open(t, testConfig())
	conn := dial(t, "udp", h.address(UDP))
	before := time.Now()
	write(t, conn, line(7)+"\n")
	write(t, conn, "")
	write(t, conn, "<22>1 2026-11-23T07:16:57Z mx1 sm-mta 4711 - -  x")
	got := h.wait(t, 2)
	m := got[0]
	if m.Sender != "127.0.0.1" || m.Addr != netip.MustParseAddr("127.0.0.1") || m.Transport != UDP ||
		m.Text != "message 7" || m.PID != 8 || m.Received.Before(before) || m.Received.After(time.Now()) {
		t.Errorf("%+v", m)
	}
	if n := h.metric(t, "uppercut_messages_received_total", "listener", "udp"); n != 3 {
		t.Errorf("%v received", n)
	}
	if n := h.metric(t, "uppercut_messages_dropped_total", "listener", "udp", "reason", "empty"); n != 1 {
		t.Errorf("%v empty", n)
	}
}

func TestDatagramsOverIPv6(t *testing.T) {
	c := testConfig()
	c.UDP = []string{"[::]:0"}
	h := open(t, c)
	_, port, _ := net.SplitHostPort(h.address(UDP))
	for sender, address := range map[string]string{"127.0.0.1": "127.0.0.1:" + port, "::1": "[::1]:" + port} {
		write(t, dial(t, "udp", address), line(1))
		h.waitFor(t, func(m Message) bool { return m.Sender == sender })
	}
}

func TestStreams(t *testing.T) {
	h := open(t, testConfig())
	conn := dial(t, "tcp", h.address(TCP))
	counted := line(2)
	write(t, conn, line(1)+"\n"+fmt.Sprint(len(counted))+" "+counted+line(3)[:20])
	h.wait(t, 2)
	write(t, conn, line(3)[20:]+"\n")
	for i, m := range h.wait(t, 3) {
		if want := fmt.Sprint("message ", i+1); m.Text != want || m.Sender != "127.0.0.1" || m.Transport != TCP {
			t.Errorf("%+v, want %s", m, want)
		}
	}
}

// TestBadInput sends to both listeners what nobody can read; they go on.
func TestBadInput(t *testing.T) {
	h := open(t, testConfig())
	udp, tcp := dial(t, "udp", h.address(UDP)), dial(t, "tcp", h.address(TCP))
	for _, bad := range badFrames(t) {
		write(t, udp, bad[:min(len(bad), 60000)])
		write(t, tcp, bad+"\n")
	}
	write(t, tcp, strings.Repeat("7", 10<<20)+"\n")
	write(t, tcp, strings.Repeat("\xff", 10<<20)+"\n")
	write(t, udp, line(1))
	write(t, tcp, line(2)+"\n")
	for _, m := range h.wait(t, 2) {
		if m.Text != "message 1" && m.Text != "message 2" {
			t.Errorf("read %+v", m)
		}
	}
	if n := h.metric(t, "uppercut_messages_truncated_total", "listener", "tcp"); n != 2 {
		t.Errorf("%v cut", n)
	}
	for _, kind := range []header.Error{header.ErrEmpty, header.ErrPriority, header.ErrTimestamp, header.ErrHeader} {
		if h.metric(t, "uppercut_messages_dropped_total", "listener", "udp", "reason", string(kind)) == 0 {
			t.Errorf("no datagram counted as %s", kind)
		}
	}
}

func TestUnlistedSenders(t *testing.T) {
	c := testConfig()
	c.Senders = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	h := open(t, c)
	write(t, dial(t, "udp", h.address(UDP)), line(1))
	if !isClosed(t, h.address(TCP)) {
		t.Error("a stranger's connection stays open")
	}
	eventually(t, "refusals", func() bool {
		return h.metric(t, "uppercut_messages_dropped_total", "listener", "udp", "reason", "acl") == 1 &&
			h.metric(t, "uppercut_connections_rejected_total", "listener", "tcp", "reason", "acl") == 1
	})
	if n := h.metric(t, "uppercut_messages_received_total"); n != 0 {
		t.Errorf("%v received", n)
	}
}

// TestDrain stops a receiver while a sender has more to say: it is told to
// end, and what it had written is read.
func TestDrain(t *testing.T) {
	h := open(t, testConfig())
	conn := dial(t, "tcp", h.address(TCP))
	write(t, conn, line(0)+"\n")
	h.wait(t, 1)
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("no FIN")
	}
	const more = 1000
	for i := range more {
		write(t, conn, line(i+1)+"\n")
	}
	conn.Close()
	<-stopped
	if n := len(h.wait(t, 0)); n != 1+more {
		t.Errorf("%d messages of %d", n, 1+more)
	}
}

// TestStopInTheMiddleOfTinyFrames: what a buffer holds beyond a batch is not taken
// any more when the time to drain is over, and is counted.
func TestStopInTheMiddleOfTinyFrames(t *testing.T) {
	c := testConfig()
	c.StopTimeout = 0
	stopping := make(chan struct{})
	began, late := make(chan struct{}), 0
	full := sync.OnceFunc(func() { close(began); <-stopping })
	h := openWith(t, c, func(batch []Message, _, _ func()) {
		select {
		case <-stopping:
			late++
		default:
		}
		if len(batch) == MaxBatch {
			full()
		}
	})
	conn := dial(t, "tcp", h.address(TCP))
	write(t, conn, strings.Repeat("<22>1 - - - - - -\n", 10*MaxBatch))
	<-began
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("no FIN: %v", err)
	}
	close(stopping)
	<-stopped
	if late > 0 {
		t.Errorf("%d batches were taken too late", late)
	}
	if n := h.metric(t, "uppercut_messages_dropped_total", "listener", "tcp", "reason", dropShutdown); n == 0 {
		t.Error("what was read and not taken is not counted")
	}
}

// TestStopTellsSendersWhenNobodyListens: who is told to end cannot connect
// again, as rsyslog does at once, to a receiver that will not read it.
func TestStopTellsSendersWhenNobodyListens(t *testing.T) {
	h := open(t, testConfig())
	address := h.address(TCP)
	conn := dial(t, "tcp", address)
	write(t, conn, line(1)+"\n")
	h.wait(t, 1)
	go h.stop()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("no FIN: %v", err)
	}
	if again, err := net.Dial("tcp", address); err == nil {
		again.Close()
		t.Error("told to end, a sender can connect again")
	}
	conn.Close()
}

func TestStopDoesNotWaitForIdleSenders(t *testing.T) {
	h := open(t, testConfig())
	dial(t, "tcp", h.address(TCP))
	eventually(t, "a connection", func() bool { return h.metric(t, "uppercut_connections") == 1 })
	start := time.Now()
	h.stop()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestAddressInUse(t *testing.T) {
	h := open(t, testConfig())
	for _, c := range []Config{
		{UDP: []string{h.address(UDP)}},
		{TCP: []string{h.address(TCP)}},
	} {
		full := testConfig()
		full.UDP, full.TCP = c.UDP, c.TCP
		_, err := New(full, Options{Handle: h.take})
		if err == nil || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "ss -lnp") {
			t.Errorf("error %v", err)
		}
	}
}

// A sender is met when it has sent something that could be read, not when it
// connects, and parts when it goes.
func TestSendersAreMetWhenTheySpeak(t *testing.T) {
	met, parted := make(chan netip.Addr, 2), make(chan netip.Addr, 2)
	config := testConfig()
	r, err := New(config, Options{Handle: func([]Message, func(), func()) {}, Met: func(a netip.Addr) func() {
		met <- a
		return func() { parted <- a }
	}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- r.Run(ctx) }()
	conn := dial(t, "tcp", r.Addrs(TCP)[0].String())
	write(t, conn, "no header, no sender\n")
	select {
	case a := <-met:
		t.Fatalf("%v is met although it said nothing that can be read", a)
	case <-time.After(50 * time.Millisecond):
	}
	write(t, conn, "<22>Nov 23 07:33:23 mx1 sm-mta[1]: hello\n")
	if a := <-met; a != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("met %v", a)
	}
	conn.Close()
	<-parted
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
