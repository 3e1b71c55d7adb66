package receiver

import (
	"context"
	"crypto/tls"
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
	config.TLS.ClientNames = []string{"mx1.example.org"}
	bad := badCertificates(t, a)
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
	over, end := context.WithCancel(t.Context())
	defer end()
	hostile(1, "127.0.8.%d", TCP, 20, func(c net.Conn) { crowd.Go(func() { dribble(over, c) }) })
	for i, certificate := range bad {
		hostile(1, fmt.Sprintf("127.0.%d.%%d", 9+i), TLS, 30, func(c net.Conn) {
			client := tls.Client(c, certificate)
			_ = client.SetDeadline(time.Now().Add(2 * time.Second))
			_ = client.Handshake()
			_, _ = client.Write([]byte(line(1) + "\n"))
		})
	}
	peak := sendSteadily(t, honest, seconds, rate)
	end()
	crowd.Wait()
	got := h.waitUntil(t, "the honest messages", func(all []Message) bool { return len(numbers(all)) == seconds*rate })
	if lost, doubled := lostAndDoubled(numbers(got), seconds*rate); lost+doubled > 0 {
		t.Errorf("%d lost, %d doubled", lost, doubled)
	}
	for _, reason := range []string{refuseExpired, refuseUntrusted, refuseName, refuseHandshake, refuseSilent} {
		if h.metric(t, "uppercut_connections_rejected_total", "reason", reason) == 0 {
			t.Errorf("nobody was refused for %s", reason)
		}
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

// badCertificates are clients with a certificate that has expired, one that is
// signed by a stranger, one of another name, and none.
func badCertificates(t *testing.T, a *authority) []*tls.Config {
	t.Helper()
	a.issue(t, "old.example.org", time.Now().Add(-time.Hour))
	a.issue(t, "www.example.org", time.Now().Add(time.Hour))
	stranger := newAuthority(t, "stranger")
	stranger.issue(t, "mx1.example.org", time.Now().Add(time.Hour))
	foreign := a.client(t, "")
	pair := stranger.client(t, "mx1.example.org").Certificates[0]
	foreign.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return []*tls.Config{a.client(t, "old.example.org"), foreign, a.client(t, "www.example.org"), a.client(t, "")}
}

// dribble sends a byte a second.
func dribble(ctx context.Context, c net.Conn) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = c.Write([]byte{byte(rand.IntN(256))})
		}
	}
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
