package console

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// connections keeps the connections of the web listener within a limit, apart
// from those of senders: one that is idle for longest makes room, of the same
// address if that has half of them. It is safe for concurrent use.
type connections struct {
	max        int
	gauge      prometheus.Gauge   // of open ones
	turnedAway prometheus.Counter // counts those that were closed

	mu     sync.Mutex
	open   map[net.Conn]*peer
	byHost map[string]int
	idle   list.List // of net.Conn, longest first; new ones are idle until they ask
}

// peer is an open connection.
type peer struct {
	host string
	idle *list.Element // nil while a request is served
}

// LimitConnections returns an http.Server.ConnState that keeps the server's
// connections within a limit, and within an eighth of the process's descriptors:
// one that is idle for longest makes room, of the same address if that has half of
// them. The metrics show how many are open, and count those that were closed.
func LimitConnections(limit int, open prometheus.Gauge, turnedAway prometheus.Counter) func(net.Conn, http.ConnState) {
	return newConnections(limit, open, turnedAway).state
}

func newConnections(limit int, open prometheus.Gauge, turnedAway prometheus.Counter) *connections {
	return &connections{max: min(limit, descriptorShare()), gauge: open, turnedAway: turnedAway, open: make(map[net.Conn]*peer), byHost: make(map[string]int)}
}

// descriptorShare is how many of the process's descriptors web connections may
// take: an eighth.
func descriptorShare() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return 1 << 17
	}
	return max(int(limit.Cur/8), 8)
}

// state is an http.Server.ConnState.
func (c *connections) state(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.open[conn]; p != nil && p.idle != nil {
		c.idle.Remove(p.idle)
		p.idle = nil
	}
	switch s {
	case http.StateNew:
		c.enter(conn)
	case http.StateIdle:
		if p := c.open[conn]; p != nil {
			p.idle = c.idle.PushBack(conn)
		}
	case http.StateClosed, http.StateHijacked:
		c.forget(conn)
	case http.StateActive:
	}
}

// enter takes a connection in, or closes it.
func (c *connections) enter(conn net.Conn) {
	host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if err != nil {
		host = ""
	}
	full := len(c.open) >= c.max && !c.evict("")
	if full || c.byHost[host] >= max(c.max/2, 1) && !c.evict(host) {
		hangUp(conn)
		c.turnedAway.Inc()
		return
	}
	p := &peer{host: host}
	c.open[conn] = p
	c.byHost[host]++
	p.idle = c.idle.PushBack(conn)
	c.gauge.Set(float64(len(c.open)))
}

// evict closes the connection that is idle for longest, of one host if that is
// not "".
func (c *connections) evict(host string) bool {
	for e := c.idle.Front(); e != nil; e = e.Next() {
		conn := e.Value.(net.Conn)
		if host != "" && c.open[conn].host != host {
			continue
		}
		c.idle.Remove(e)
		c.forget(conn)
		hangUp(conn)
		c.turnedAway.Inc()
		return true
	}
	return false
}

func (c *connections) forget(conn net.Conn) {
	p := c.open[conn]
	if p == nil {
		return
	}
	delete(c.open, conn)
	if c.byHost[p.host]--; c.byHost[p.host] == 0 {
		delete(c.byHost, p.host)
	}
	c.gauge.Set(float64(len(c.open)))
}

// hangUp closes conn without a word: TLS would wait for its own.
func hangUp(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}
