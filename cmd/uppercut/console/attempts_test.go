package console

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestWrongPasswordsAreToldCountedAndSlowed asks over a real connection: the
// operator's own address guesses, and the operator is let in all the same once
// the password was right.
func TestWrongPasswordsAreToldCountedAndSlowed(t *testing.T) {
	r := startPage(t, fleet())
	guess := func(user, password string) int {
		q := request{path: "/metrics", anonymous: true, header: http.Header{}}
		(&http.Request{Header: q.header}).SetBasicAuth(user, password)
		status, _ := r.send(t, q)
		return status
	}
	if status, _ := r.send(t, request{path: "/"}); status != 200 {
		t.Fatalf("the right password: %d", status)
	}
	for i := range addressFailures {
		if status := guess(operatorName, fmt.Sprint("wrong ", i)); status != 401 {
			t.Errorf("wrong password %d: %d, want 401", i, status)
		}
	}
	for _, user := range []string{operatorName, "bob"} {
		if status := guess(user, "one more"); status != 429 {
			t.Errorf("one more, for %s: %d, want 429", user, status)
		}
	}
	if status, _ := r.send(t, request{path: "/"}); status != 200 {
		t.Errorf("the right password, after wrong ones of others at that address: %d", status)
	}
	if n := testutil.ToFloat64(r.metrics.denied.WithLabelValues(deniedPassword)); n != addressFailures {
		t.Errorf("%v wrong passwords counted", n)
	}
	if n := testutil.ToFloat64(r.metrics.denied.WithLabelValues(deniedSlow)); n != 2 {
		t.Errorf("%v slowed", n)
	}
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	text := r.log.text.String()
	if n := strings.Count(text, "wrong password"); n != addressFailures || !strings.Contains(text, "user="+operatorName) {
		t.Errorf("%d lines: %s", n, text)
	}
}

// TestUnknownUsersAreNotNamed: people type passwords where the name belongs.
func TestUnknownUsersAreNotNamed(t *testing.T) {
	var log bytes.Buffer
	c := newConsole(Config{ConfigFile: webConfigFile(t)}, Options{Appliance: fleet(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	r := httptest.NewRequest("GET", "/", nil)
	r.SetBasicAuth("correct horse", "x")
	if w := httptest.NewRecorder(); c.mayTry(w, r) || w.Code != 401 {
		t.Errorf("status %d", w.Code)
	}
	if text := log.String(); strings.Contains(text, "horse") || !strings.Contains(text, "unknown") {
		t.Error(text)
	}
}

func TestGuessingIsPaidFor(t *testing.T) {
	start := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	at := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	for _, tc := range []struct {
		name string
		// next gives who guesses the nth time.
		next func(n int) (user string, addr netip.Addr)
		free int
		wait time.Duration
	}{
		{"one address, one user", func(int) (string, netip.Addr) { return "anna", at("192.0.2.1") }, addressFailures, addressPause},
		{"one address, many users", func(n int) (string, netip.Addr) { return fmt.Sprint(n), at("192.0.2.1") }, addressFailures, addressPause},
		{"one IPv6 network", func(n int) (string, netip.Addr) { return fmt.Sprint(n), at(fmt.Sprintf("2001:db8::%x", n)) }, addressFailures, addressPause},
		{"many addresses, one user", func(n int) (string, netip.Addr) { return "anna", at(fmt.Sprintf("192.0.2.%d", n)) }, userFailures, userPause},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAttempts()
			for n := range tc.free {
				if wait := a.charge(start, prices(tc.next(n))); wait != 0 {
					t.Fatalf("the %dth must wait for %v", n+1, wait)
				}
			}
			next := prices(tc.next(tc.free))
			if wait := a.charge(start, next); wait != tc.wait {
				t.Errorf("one more waits for %v, want %v", wait, tc.wait)
			}
			if a.charge(start.Add(tc.wait-1), next) == 0 {
				t.Error("a nanosecond before: tried")
			}
			if a.charge(start.Add(tc.wait), next) != 0 {
				t.Error("after it: not tried")
			}
			for range 3 {
				a.refund(start.Add(time.Hour), next)
			}
			if len(a.owing) != 0 && tc.free == addressFailures {
				if _, owes := a.owing[next[0].key]; owes {
					t.Error("right passwords do not pay back")
				}
			}
		})
	}
}

func TestWhoOwesIsBounded(t *testing.T) {
	a := newAttempts()
	now := time.Now()
	for n := range 2 * maxOwing {
		a.charge(now, prices(fmt.Sprint("user", n), netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})))
	}
	if len(a.owing) > maxOwing {
		t.Errorf("%d are remembered", len(a.owing))
	}
}

// TestChecksLeaveTheCoreToOthers: one at a time, few wait, and after a wrong one
// the next rests.
func TestChecksLeaveTheCoreToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const cost = 50 * time.Millisecond
		a := newAttempts()
		var running, most, refused, checked atomic.Int64
		var all sync.WaitGroup
		began := time.Now()
		for range 100 {
			all.Go(func() {
				_, done := a.check(context.Background(), func() bool {
					most.Store(max(most.Load(), running.Add(1)))
					time.Sleep(cost) //nolint:forbidigo // the time of a synctest bubble
					running.Add(-1)
					return false
				})
				if done {
					checked.Add(1)
				} else {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 || checked.Load() != maxWaiting || refused.Load() != 100-maxWaiting {
			t.Errorf("%d at once, %d checked, %d refused", most.Load(), checked.Load(), refused.Load())
		}
		if took, want := time.Since(began), (maxWaiting-1)*(1+checkRest)*cost+cost; took < want {
			t.Errorf("%d checks took %v, want %v", maxWaiting, took, want)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the time of a synctest bubble
	})
}

// TestHostIsCheckedEverywhere: a page of another site that has its name resolve
// to us reads nothing.
func TestHostIsCheckedEverywhere(t *testing.T) {
	r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", Hosts: []string{"uppercut.internal"}}, fleet())
	for _, path := range []string{"/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/assets/style.css", "/live", "/none"} {
		for host, want := range map[string]bool{
			"evil.example": false, "evil.example:9514": false,
			"uppercut.internal:9514": true, "127.0.0.1": true,
		} {
			if path == "/live" && want {
				continue // does not end
			}
			status, _ := r.send(t, request{path: path, host: host, anonymous: true})
			if (status != 403) != want {
				t.Errorf("GET %s with Host %s: %d", path, host, status)
			}
		}
	}
}

func TestNoDirectoryIsListed(t *testing.T) {
	r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0"}, fleet())
	for path, want := range map[string]int{"/assets/": 404, "/assets": 307, "/assets/style.css": 200, "/assets/style.css/": 404, "/assets/none": 404} {
		if status, body := r.send(t, request{path: path, anonymous: true}); status != want || strings.Contains(body, "<pre>") {
			t.Errorf("GET %s: %d %.100q", path, status, body)
		}
	}
}

// TestIdleConnectionsMakeRoom fills the web listener with connections over which
// nothing is asked: the next one gets its answer.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	const limit = 16
	r := start(t, Config{Listen: "127.0.0.1:0", MaxConnections: limit}, fleet())
	for range 3 * limit {
		conn, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if status, _ := r.send(t, request{path: "/metrics", anonymous: true}); status != 200 {
		t.Errorf("status %d", status)
	}
	if n := testutil.ToFloat64(r.metrics.open); n > limit/2 { // all are of one address
		t.Errorf("%v connections are open", n)
	}
	if testutil.ToFloat64(r.metrics.turnedAway) < 2*limit {
		t.Error("not counted")
	}
}

// TestBusyConnectionsStay: nobody who is being served is closed for another.
func TestBusyConnectionsStay(t *testing.T) {
	m := newConsoleMetrics(nil)
	c := newConnections(4, m.open, m.turnedAway)
	conns := make([]net.Conn, 6)
	for i := range conns {
		conns[i] = fakeConn{Conn: nil, addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i))}, closed: new(atomic.Bool)}
	}
	for _, conn := range conns[:4] {
		c.state(conn, http.StateNew)
		c.state(conn, http.StateActive)
	}
	c.state(conns[4], http.StateNew)
	c.state(conns[1], http.StateIdle)
	c.state(conns[5], http.StateNew)
	for i, want := range []bool{false, true, false, false, true, false} {
		if got := conns[i].(fakeConn).closed.Load(); got != want {
			t.Errorf("connection %d: closed %t", i, got)
		}
	}
	for _, conn := range conns {
		c.state(conn, http.StateClosed)
	}
	if len(c.open) != 0 || len(c.byHost) != 0 || c.idle.Len() != 0 {
		t.Errorf("left behind: %v, %v, %d", c.open, c.byHost, c.idle.Len())
	}
}

type fakeConn struct {
	net.Conn
	addr   net.Addr
	closed *atomic.Bool
}

func (c fakeConn) RemoteAddr() net.Addr { return c.addr }

func (c fakeConn) Close() error { c.closed.Store(true); return nil }
