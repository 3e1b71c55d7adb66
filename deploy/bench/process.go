package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"uppercut/deploy/netns"
)

// usage is what a program that has ended took.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes resident
}

// timed runs a program to its end. Its output is thrown away.
func timed(ctx context.Context, argv ...string) (usage, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout = io.Discard // a pipe: into /dev/null grep would stop at the first match
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return usage{}, fmt.Errorf("%q: %w: %s", argv, err, tail(stderr.String()))
	}
	u := usage{wall: time.Since(begin), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	u.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	return u, nil
}

// tail is the end of an output that may be long.
func tail(output string) string { return output[max(0, len(output)-1000):] }

// process is a program that runs until it is stopped.
type process struct {
	cmd    *exec.Cmd
	output string // file
	ended  chan struct{}
}

// patience is how long a program may take to be ready, and to end.
const patience = time.Minute

// launch starts a program inside a namespace, its output in a file. It ends
// with ctx at the latest, and with us, however we end.
func launch(ctx context.Context, ns *netns.Namespace, output, program string, args ...string) (*process, error) {
	log, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := ns.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.Stdout, cmd.Stderr = log, log
	if err := netns.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{cmd: cmd, output: output, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	return p, nil
}

// stop asks the program to end, insists after a while, and waits for its end.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// await polls until done is true; the program must not end before that.
func (p *process) await(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	poll := time.NewTicker(every)
	defer poll.Stop()
	for {
		switch ok, err := done(); {
		case err != nil:
			return err
		case ok:
			return nil
		}
		select {
		case <-poll.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Args[4], p.said())
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ctx.Err(), p.said())
		}
	}
}

func (p *process) said() string {
	out, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return tail(string(out))
}

// cpu is the processor time that the program has taken so far.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseCPU(string(stat))
}

// parseCPU reads utime and stime of /proc/PID/stat: fields 14 and 15, in the
// hundredths of a second that the kernel shows everywhere (USER_HZ).
func parseCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err, err2)
}

// memory reads a number of bytes from /proc/PID/status, such as VmRSS or VmHWM.
func (p *process) memory(key string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/status has no %s", key)
}
