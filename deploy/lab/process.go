package lab

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"uppercut/deploy/netns"
)

// process is a program that the lab started.
type process struct {
	name   string
	cmd    *exec.Cmd
	output string // file with what it printed
	ended  chan struct{}
}

// start runs cmd with its output in the file, unless cmd says where it goes.
// The program dies with us, however we end.
func start(name string, cmd *exec.Cmd, output string) (*process, error) {
	log, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := netns.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, output: output, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the program to end, insists after patience, and waits for its end.
func (p *process) stop(patience time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// await polls ready until it is true, the program has ended, or time is up.
func (p *process) await(limit time.Duration, ready func() bool) error {
	deadline := time.After(limit)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !ready() {
		select {
		case <-poll.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.name, p.lastOutput())
		case <-deadline:
			return fmt.Errorf("%s is not ready after %v: %s", p.name, limit, p.lastOutput())
		}
	}
	return nil
}

func (p *process) lastOutput() string {
	out, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(out[max(0, len(out)-1000):])
}
