package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// pour writes the pieces that next gives into connections at once until ctx
// ends, and reads nothing. A connection that ends is made anew.
func pour(ctx context.Context, connections int, dial func(n int) (net.Conn, error), opening string, next func() string) {
	var pouring sync.WaitGroup
	for n := range connections {
		pouring.Go(func() {
			for ctx.Err() == nil {
				conn, err := dial(n)
				if err != nil {
					pause(ctx)
					continue
				}
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				_, err = io.WriteString(conn, opening)
				for err == nil && ctx.Err() == nil {
					_, err = io.WriteString(conn, next())
				}
				stop()
				conn.Close()
			}
		})
	}
	pouring.Wait()
}

func pause(ctx context.Context) {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// hold opens connections from many addresses, writes text into each and keeps
// them open until ctx ends.
func hold(ctx context.Context, t *target, count int, address, text string) {
	var held []net.Conn
	for n := range count {
		if ctx.Err() != nil {
			break
		}
		conn, err := t.dial(ctx, fmt.Sprintf("127.1.%d.%d", n/50%250, 1+n/12500), address)
		if err != nil {
			continue
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.WriteString(conn, text)
		held = append(held, conn)
	}
	<-ctx.Done()
	for _, conn := range held {
		conn.Close()
	}
}

// repeat is a flood of one frame.
func repeat(frame string) func() string {
	text := strings.Repeat(frame, 64<<10/len(frame)+1)
	return func() string { return text }
}

// relp floods with a frame over sessions whose answers are not read.
func relp(frame string, opened bool) func(context.Context, *target, *result) error {
	opening := ""
	if opened {
		opening = fmt.Sprintf("1 open %d %s\n", len(offer), offer)
	}
	return func(ctx context.Context, t *target, _ *result) error {
		pour(ctx, 8, func(int) (net.Conn, error) { return t.dial(ctx, "", relpAddress) }, opening, repeat(frame))
		return nil
	}
}

// tinyFrames floods 64 connections with frames of two bytes.
func tinyFrames(ctx context.Context, t *target, _ *result) error {
	pour(ctx, 64, func(int) (net.Conn, error) { return t.dial(ctx, "", tcpAddress) }, "", repeat("x\n"))
	return nil
}

// halfMessages holds 4,000 connections, each in the middle of a long message.
func halfMessages(ctx context.Context, t *target, _ *result) error {
	first := "<22>Nov 30 12:00:00 mx1 sendmail[1]: hello\n"
	hold(ctx, t, 4000, tcpAddress, first+"60000 <22>Nov 30 12:00:00 mx1 sendmail[1]: "+strings.Repeat("x", 59000))
	return nil
}

// silent holds connections over which nothing is said.
func silent(ctx context.Context, t *target, _ *result) error {
	hold(ctx, t, 6000, tcpAddress, "")
	return nil
}

// lines floods over TLS, as a stolen certificate may: perClient lines about each
// of ever new clients.
func lines(format string, perClient int) func(context.Context, *target, *result) error {
	return func(ctx context.Context, t *target, _ *result) error {
		client := uint32(0x17000000) // 23.0.0.0
		next := func() string {
			var b strings.Builder
			now := time.Now().Format(time.RFC3339)
			for range 500 {
				client++
				addr := net.IPv4(byte(client>>24), byte(client>>16), byte(client>>8), byte(client))
				for i := range perClient {
					fmt.Fprintf(&b, "<22>"+now+" thief sendmail[%d]: "+format+"\n", 2+(int(client)*perClient+i)%(pids-2), addr, addr)
				}
			}
			return b.String()
		}
		pour(ctx, 1, func(int) (net.Conn, error) { return t.dialTLS(ctx, "thief") }, "", next)
		return nil
	}
}

// pids is how many process numbers Linux has (PID_MAX_LIMIT): lines of one process
// are one session, which counts once.
const pids = 4 << 20

// Lines of sendmail 8.17, the client's address twice.
const (
	preGreeting  = "rejecting commands from [%s] [%s] due to pre-greeting traffic after 3 seconds"
	relayRefused = "ruleset=check_relay, arg1=[%[1]s], arg2=%[1]s, relay=[%[2]s], reject=550 5.7.1 Fix reverse DNS"
)
