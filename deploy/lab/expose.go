package lab

import (
	"context"
	"io"
	"net"
	"time"
)

// Page and Prometheus are what can be exposed.
const (
	Page       = webAddress
	Prometheus = prometheusAddress
)

// Expose lets the machine itself reach a service of the gateway, on the same
// address as inside if that is free, else on another port. It returns the URL.
func (l *Lab) Expose(service string) (string, error) {
	listener, err := net.Listen("tcp", service)
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	l.closers = append(l.closers, listener.Close)
	go func() {
		for {
			outside, err := listener.Accept()
			if err != nil {
				return
			}
			go l.relay(outside, service)
		}
	}()
	return "http://" + listener.Addr().String() + "/", nil
}

// relay copies both ways until either side ends.
func (l *Lab) relay(outside net.Conn, service string) {
	defer outside.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	inside, err := l.net.gateway.Dial(ctx, new(net.Dialer), "tcp", service)
	if err != nil {
		return
	}
	defer inside.Close()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{inside, outside}, {outside, inside}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}
