package main

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"uppercut/deploy/netns"
)

// watch hears from the kernel of each address that is put into any nftables set
// of a namespace, whoever puts it there.
type watch struct {
	conn    *nftables.Conn
	monitor *nftables.Monitor
	ended   chan struct{}

	mu   sync.Mutex
	seen map[netip.Addr]time.Time
	err  error
}

// watchBuffer holds what the kernel reports while nobody reads, in bytes.
const watchBuffer = 64 << 20

func newWatch(ns *netns.Namespace) (*watch, error) {
	w := &watch{ended: make(chan struct{}), seen: map[netip.Addr]time.Time{}}
	var err error
	w.conn, err = nftables.New(nftables.WithNetNSFd(ns.FD()), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetReadBuffer(watchBuffer)
	}))
	if err != nil {
		return nil, err
	}
	w.monitor = nftables.NewMonitor(nftables.WithMonitorAction(nftables.MonitorActionNew))
	events, err := w.conn.AddMonitor(w.monitor)
	if err != nil {
		return nil, fmt.Errorf("watch nftables: %w", err)
	}
	go w.listen(events)
	return w, nil
}

func (w *watch) listen(events <-chan *nftables.MonitorEvent) {
	defer close(w.ended)
	for event := range events {
		now := time.Now()
		w.mu.Lock()
		if event.Error != nil {
			w.err = event.Error
		}
		elements, _ := event.Data.([]nftables.SetElement)
		for _, e := range elements {
			if a, ok := netip.AddrFromSlice(e.Key); ok && w.seen[a].IsZero() {
				w.seen[a] = now
			}
		}
		w.mu.Unlock()
	}
}

// when tells when an address first became part of a set, the zero Time if it
// has not.
func (w *watch) when(a netip.Addr) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[a]
}

// close ends the watch. The error says that the kernel's reports are not whole.
func (w *watch) close() error {
	err := w.monitor.Close()
	<-w.ended
	if w.err != nil {
		return fmt.Errorf("watch nftables: %w", w.err)
	}
	return err
}
