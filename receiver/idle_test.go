package receiver

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestIdleConnectionsEnd: who sends nothing is told to end, and what it sends
// all the same is read.
func TestIdleConnectionsEnd(t *testing.T) {
	t.Parallel()
	c := relpConfig()
	c.TCP, c.IdleTimeout = []string{"127.0.0.1:0"}, time.Second
	h := open(t, c)
	client := dialRELP(t, h.address(RELP))
	if _, text := client.answer(); text != "serverclose " {
		t.Errorf("RELP: %q, want a serverclose", text)
	}
	stream := dial(t, "tcp", h.address(TCP))
	if !endsSoon(stream) {
		t.Fatal("TCP: no FIN")
	}
	write(t, stream, line(1)+"\n")
	h.wait(t, 1)
	eventually(t, "the connection is closed", func() bool { return h.metric(t, "uppercut_connections", "listener", "tcp") == 0 })
	if n := h.metric(t, "uppercut_connections_rejected_total", "reason", refuseIdle); n != 2 {
		t.Errorf("%v told to end", n)
	}
}

// TestBusyConnectionsStay: the limit counts from the last byte, and one that
// does not exist ends nothing.
func TestBusyConnectionsStay(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.IdleTimeout = 4 * time.Second
	h := open(t, c)
	conn := dial(t, "tcp", h.address(TCP))
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for i := range 12 {
		<-tick.C
		write(t, conn, line(i)+"\n")
	}
	h.wait(t, 12)
	c.IdleTimeout = 0
	reconfigure(t, h, c)
	write(t, conn, line(12)+"\n")
	h.wait(t, 13)
	_ = conn.SetReadDeadline(time.Now().Add(6 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("without a limit: %v", err)
	}
}

// TestIdleRsyslog lets a real rsyslogd be idle for longer than it may between
// bursts: it connects anew and loses nothing, over every stream.
func TestIdleRsyslog(t *testing.T) {
	const bursts, count = 4, 50
	config, a := everyTransport(t)
	config.IdleTimeout, config.UDP = time.Second, nil
	for transport, address := range map[string]func(*house) net.Addr{
		"tcp":      func(h *house) net.Addr { return h.Addrs(TCP)[0] },
		"tls":      func(h *house) net.Addr { return h.Addrs(TLS)[0] },
		"relp":     func(h *house) net.Addr { return h.Addrs(RELP)[0] },
		"relp-tls": func(h *house) net.Addr { return h.Addrs(RELP)[1] },
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			h := open(t, config)
			mailHost := startRsyslog(t, forwardText(t, transport, address(h).String(), a, false))
			for i := range bursts { // every other one comes when the connection is told to end, not closed
				mailHost.log(i*count+1, (i+1)*count)
				h.wait(t, (i+1)*count)
				eventually(t, "the connection is idle", func() bool {
					return h.metric(t, "uppercut_connections_rejected_total", "reason", refuseIdle) > float64(i)
				})
				eventually(t, "the connection is closed", func() bool {
					return i%2 == 0 || h.metric(t, "uppercut_connections") == 0
				})
			}
			// On a busy machine a burst may come while the connection is told to end:
			// with RELP what was not acknowledged is sent again.
			lost, doubled := lostAndDoubled(numbers(h.all()), bursts*count)
			if again := strings.HasPrefix(transport, "relp"); lost > 0 || doubled > 0 && !again {
				t.Errorf("%d lost, %d doubled", lost, doubled)
			}
		})
	}
}
