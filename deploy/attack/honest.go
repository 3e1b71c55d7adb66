package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// honest is a mail host beside the attacker: it sends by RELP as fast as it is
// answered, at most one message a millisecond.
type honest struct {
	sent, answered atomic.Int64
}

const offer = "relp_version=0\nrelp_software=attack\ncommands=syslog"

// run sends until ctx ends, then waits for the last answer.
func (h *honest) run(ctx context.Context, t *target) error {
	conn, err := t.dial(ctx, "127.9.9.9", relpAddress)
	if err != nil {
		return fmt.Errorf("an honest sender cannot connect: %w", err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := fmt.Fprintf(conn, "1 open %d %s\n", len(offer), offer); err != nil {
		return err
	}
	if err := readAnswer(in); err != nil {
		return err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 2; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		line := fmt.Sprintf("<22>%s honest sendmail[%d]: message %d", time.Now().Format(time.Stamp), n%30000+2, n)
		h.sent.Add(1)
		if _, err := fmt.Fprintf(conn, "%d syslog %d %s\n", n%999999999, len(line), line); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		if err := readAnswer(in); err != nil {
			return err
		}
		h.answered.Add(1)
	}
}

// readAnswer reads "TXNR rsp LENGTH 200 OK...".
func readAnswer(in *bufio.Reader) error {
	var size string
	for range 3 {
		field, err := in.ReadString(' ')
		if err != nil {
			return err
		}
		size = strings.TrimSpace(field)
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return fmt.Errorf("answer of size %q", size)
	}
	text := make([]byte, n+1)
	if _, err := io.ReadFull(in, text); err != nil {
		return err
	}
	if !strings.HasPrefix(string(text), "200 ") {
		return errors.New(string(text))
	}
	return nil
}
