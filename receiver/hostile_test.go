package receiver

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// attack opens connections from one address of loopback and keeps them until
// the test ends; what cannot be opened is not, since the receiver may refuse.
func attack(t *testing.T, source, target string, count int, behave func(net.Conn)) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: time.Second}
	for range count {
		conn, err := d.Dial("tcp", target)
		if err != nil {
			continue
		}
		t.Cleanup(func() { conn.Close() })
		behave(conn)
	}
}

// TestHostileClients lets an honest sender send 5,000 messages a second while
// others do their worst. It loses nothing, and memory stays bounded.
func TestHostileClients(t *testing.T) {
	config, a := everyTransport(t)
	config.TLS.HandshakeTimeout = 2 * time.Second
	h := open(t, config)
	honest := dial(t, "tcp", h.address(TCP))
	const seconds, rate = 5, 5000
	var crowd sync.WaitGroup
	hostile := func(n int, source string, transport Transport, count int, behave func(net.Conn)) {
		for i := range n {
			crowd.Go(func() {
				attack(t, fmt.Sprintf(source, i+1), h.address(transport), count, behave)
			})
		}
	}
	silent := func(net.Conn) {}
	say := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = c.Write([]byte(text))
		}
	}
	hostile(10, "127.0.1.%d", TCP, 1000, silent)
	hostile(4, "127.0.2.%d", TLS, 250, silent)
	hostile(1, "127.0.3.%d", TLS, 100, say("\x16\x03\x01\x01\x70\x01")) // half a handshake
	hostile(1, "127.0.4.%d", TCP, 20, say(strings.Repeat("x", 10<<20)))
	hostile(1, "127.0.5.%d", TCP, 100, say("9999999 <22>x"))
	hostile(1, "127.0.6.%d", RELP, 100, say("1 syslog 9999999 x"))
	hostile(1, "127.0.7.%d", TCP, 100, func(c net.Conn) { reset(c.(*net.TCPConn)) })
	crowd.Go(func() {
		attack(t, "127.0.8.1", h.address(TCP), 20, func(c net.Conn) {
			for range 100 { // a byte at a time
				_, _ = c.Write([]byte{byte(rand.IntN(256))})
			}
		})
	})
	peak := sendSteadily(t, honest, seconds, rate)
	crowd.Wait()
	got := h.waitUntil(t, "the honest messages", func(all []Message) bool { return len(numbers(all)) == seconds*rate })
	if lost, doubled := lostAndDoubled(numbers(got), seconds*rate); lost+doubled > 0 {
		t.Errorf("%d lost, %d doubled", lost, doubled)
	}
	eventually(t, "no more silent connections than allowed", func() bool {
		return int(h.metric(t, "uppercut_connections")) <= config.MaxSilentConnections+1
	})
	if peak > 300<<20 && !raceEnabled {
		t.Errorf("%d MB in use", peak>>20)
	}
	t.Logf("%d MB at most, clients included", peak>>20)
	write(t, dialTLS(t, h.address(TLS), a.client(t, "mx1.example.org")), "<22>Nov 23 07:20:30 mx1 test: still there\n")
	h.waitFor(t, func(m Message) bool { return m.Transport == TLS && m.Text == "still there" })
}

// sendSteadily writes numbered messages at a rate and returns the most memory
// that the process had meanwhile.
func sendSteadily(t *testing.T, conn net.Conn, seconds, rate int) (peak uint64) {
	t.Helper()
	const perTick = 20 * time.Millisecond
	tick := time.NewTicker(perTick)
	defer tick.Stop()
	each := rate / int(time.Second/perTick)
	for n := 0; n < seconds*rate; {
		<-tick.C
		var b strings.Builder
		for range each {
			n++
			fmt.Fprintf(&b, "<22>Nov 23 07:20:30 mx1 sendmail[4711]: number %d\n", n)
		}
		write(t, conn, b.String())
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.Sys-m.HeapReleased)
	}
	return peak
}
