package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What becomes of blocks and scores when the disk, the ledger, the log or the
// program itself fails.

// client is the nth of the clients that are reported.
func client(n int) string { return fmt.Sprintf("23.8.%d.%d", n/200, 1+n%200) }

// ledger is the file of the blocks.
func (t *target) ledger() string { return filepath.Join(t.path("state"), "ledger.db") }

// healthy asks what uppercut says of itself.
func (t *target) healthy(ctx context.Context) bool {
	return exec.CommandContext(ctx, t.program, "--config", t.path("uppercut.yaml"), "health").Run() == nil
}

// report says n offences of each of some clients.
func (s *script) report(from, to, n int) {
	for i := from; i < to; i++ {
		for range n {
			s.line("honest", preGreeting, client(i), client(i))
		}
	}
}

// crashLoop kills uppercut again and again. Who had offended once, and offends
// once more at the end, is blocked.
func crashLoop(ctx context.Context, t *target, r *result) error {
	ctx = context.WithoutCancel(ctx)
	const rounds, clients = 3, 20
	began := time.Now()
	for round := range rounds {
		var s script
		s.report(clients*round, clients*(round+1), 1)
		if err := t.say(ctx, 10+round, &s, "honest", t.certified("honest")); err != nil {
			return err
		}
		// What was heard by half of a run is saved at its end.
		for end := time.Now().Add(time.Since(began) + 500*time.Millisecond); time.Now().Before(end); {
			pause(ctx)
		}
		r.peak = max(r.peak, t.peak())
		t.end(syscall.SIGKILL)
		began = time.Now()
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	var s script
	s.report(0, clients*rounds, 1)
	if err := t.say(ctx, 20, &s, "honest", t.certified("honest")); err != nil {
		return err
	}
	blocked, err := t.blocked(ctx, "23.8.")
	r.scoresLost = clients*rounds - blocked
	return err
}

// stalledLog has the log written into a pipe that nobody reads, then into one
// without a reader.
func stalledLog(ctx context.Context, t *target, r *result) error {
	ctx = context.WithoutCancel(ctx)
	const clients = 600                                   // their lines fill more than a pipe
	filling, ended := script{}, script{pids: 3 * clients} // processes of their own
	filling.report(0, clients, 2)
	ended.report(clients, clients+100, 2)
	err := t.say(ctx, 10, &filling, "honest", t.certified("honest"))
	t.unread.Close() // the next word ends a program that does not expect it
	err = errors.Join(err, t.say(ctx, 11, &ended, "honest", t.certified("honest")))
	blocked, asked := t.blocked(ctx, "23.8.")
	r.notBlocked = clients + 100 - blocked
	if !t.healthy(ctx) {
		err = errors.Join(err, errors.New("health says that something stands still"))
	}
	return errors.Join(err, asked)
}

// fullDisk reports clients over RELP while nothing can be saved, kills uppercut,
// makes room and starts it: what was acknowledged is there.
func fullDisk(ctx context.Context, t *target, r *result) error {
	ctx = context.WithoutCancel(ctx)
	const clients = 300
	t.end(syscall.SIGTERM)
	if err := syscall.Mount("tmpfs", t.path("state"), "tmpfs", 0, "size=16m,mode=0750"); err != nil {
		return err
	}
	defer func() { _ = syscall.Unmount(t.path("state"), syscall.MNT_DETACH) }()
	if err := errors.Join(t.start(ctx), fill(t.path("state/ballast"))); err != nil {
		return err
	}
	acknowledged, err := t.overRELP(ctx, clients)
	r.peak = t.peak()
	t.end(syscall.SIGKILL)
	if err = errors.Join(err, os.Remove(t.path("state/ballast"))); err != nil {
		return err
	}
	if err := t.start(ctx); err != nil {
		return err
	}
	saved, err := t.blocked(ctx, "23.8.")
	r.forgotten = max(0, acknowledged/2-saved)
	return err
}

// fill takes all room of a file system.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for chunk := make([]byte, 4096); err == nil; {
		_, err = f.Write(chunk)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// overRELP reports clients, two lines each, and counts what is acknowledged
// until two seconds have passed.
func (t *target) overRELP(ctx context.Context, clients int) (acknowledged int, err error) {
	conn, err := t.dial(ctx, "127.6.6.6", relpAddress)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	var s script
	s.report(0, clients, 2)
	var frames strings.Builder
	fmt.Fprintf(&frames, "1 open %d %s\n", len(offer), offer)
	n := 1
	for line := range strings.Lines(s.text.String()) {
		n++
		line = strings.TrimSpace(line)
		fmt.Fprintf(&frames, "%d syslog %d %s\n", n, len(line), line)
	}
	if _, err := io.WriteString(conn, frames.String()); err != nil {
		return 0, err
	}
	in := bufio.NewReader(conn)
	_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	for acknowledged = -1; acknowledged < n-1; acknowledged++ {
		if err := readAnswer(in); err != nil {
			return max(0, acknowledged), late(err)
		}
	}
	return acknowledged, nil
}

// late is err unless it says that time has passed.
func late(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil
	}
	return err
}

// flips starts uppercut with an empty ledger, and with a bit of a record
// flipped. Either the blocks are the same, or health tells.
func flips(ctx context.Context, t *target, r *result) error {
	ctx = context.WithoutCancel(ctx)
	var s script
	s.report(0, 40, 2)
	if err := t.say(ctx, 10, &s, "honest", t.certified("honest")); err != nil {
		return err
	}
	before, err := t.listed(ctx)
	if err != nil {
		return err
	}
	r.peak = t.peak()
	t.end(syscall.SIGTERM)
	sound, err := os.ReadFile(t.ledger())
	if err != nil {
		return err
	}
	t.damaged = true
	damaged := flipped(sound)
	if len(damaged) == 0 {
		return errors.New("no record was found in the ledger")
	}
	for _, ledger := range append(damaged, nil) {
		if err := errors.Join(os.WriteFile(t.ledger(), ledger, 0o600), t.start(ctx)); err != nil {
			return err
		}
		after, err := t.listed(ctx)
		if err != nil {
			return err
		}
		if after != before && t.healthy(ctx) {
			r.silent++
		}
		t.end(syscall.SIGTERM)
	}
	if err := os.WriteFile(t.ledger(), sound, 0o600); err != nil {
		return err
	}
	return t.start(ctx)
}

// flipped returns copies of a ledger, each with one bit of the records of a
// client changed: near where its address or the rule stands.
func flipped(sound []byte) (all [][]byte) {
	for n, at := range occurrences(sound, []byte("pregreet")) {
		if n%16 == 0 && len(all) < 4 {
			damaged := bytes.Clone(sound)
			damaged[at-3-n/16*4] ^= 1 << (n / 12 % 3)
			all = append(all, damaged)
		}
	}
	return all
}

// occurrences are where what stands in text.
func occurrences(text, what []byte) (all []int) {
	for at := 0; ; at += len(what) {
		next := bytes.Index(text[at:], what)
		if next < 0 {
			return all
		}
		at += next
		all = append(all, at)
	}
}

// listed is who is blocked and until when, as it is told.
func (t *target) listed(ctx context.Context) (string, error) {
	for {
		out, err := exec.CommandContext(ctx, t.program, "--config", t.path("uppercut.yaml"), "blocks", "--json", "--limit", "0").Output()
		if err == nil {
			return string(out), nil
		}
		if code, ok := errors.AsType[*exec.ExitError](err); ok && code.ExitCode() == 3 {
			return "", nil // nobody
		}
		if pause(ctx); !t.alive() {
			return "", fmt.Errorf("uppercut has ended: %s", t.said())
		}
	}
}
