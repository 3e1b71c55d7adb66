package netns_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// TestCable speaks over a cable in both families, at once, and to nobody else.
func TestCable(t *testing.T) {
	a, b := netns.New(t, "a"), netns.New(t, "b")
	netns.Must(t, netns.Cable(
		netns.End{In: a, Device: "left", Addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		netns.End{In: b, Device: "right", Addresses: []string{"192.0.2.2/24", "2001:db8::2/64"}}))
	for _, addr := range []string{"192.0.2.2", "2001:db8::2"} {
		listener, err := b.Listen("tcp", net.JoinHostPort(addr, "0"))
		netns.Must(t, err)
		defer listener.Close()
		go func() {
			if conn, err := listener.Accept(); err == nil {
				io.WriteString(conn, conn.RemoteAddr().(*net.TCPAddr).IP.String()+"\n")
				conn.Close()
			}
		}()
		conn, err := a.Dial(t.Context(), &net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String())
		netns.Must(t, err)
		defer conn.Close()
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != strings.TrimSuffix(addr, "2")+"1\n" {
			t.Errorf("%s sees us as %q, %v", addr, line, err)
		}
		dialer := net.Dialer{Timeout: 100 * time.Millisecond}
		if conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s is reached from outside", addr)
		}
	}
}

// TestDoLeavesNoTrace: other goroutines never find themselves inside.
func TestDoLeavesNoTrace(t *testing.T) {
	outside, err := os.Readlink("/proc/thread-self/ns/net")
	netns.Must(t, err)
	n := netns.New(t, "do")
	for range 50 {
		var inside string
		netns.Must(t, n.Do(func() (err error) {
			inside, err = os.Readlink("/proc/thread-self/ns/net")
			return err
		}))
		if inside == outside {
			t.Fatal("f runs outside")
		}
		here := make(chan string)
		go func() {
			link, _ := os.Readlink("/proc/thread-self/ns/net")
			here <- link
		}()
		if link := <-here; link != outside {
			t.Fatalf("another goroutine is in %s, not in %s", link, outside)
		}
	}
	want := errors.New("of f")
	if err := n.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Do returns %v", err)
	}
}

func TestCommandsRunInside(t *testing.T) {
	n := netns.New(t, "commands")
	netns.Must(t, n.IP("addr add 192.0.2.1/24 dev lo"), n.Sysctl("net.ipv4.ip_forward", "1"))
	out, err := n.Run("sh", "-c", "ip -br addr; cat /proc/sys/net/ipv4/ip_forward")
	if err != nil || !strings.Contains(out, "192.0.2.1/24") || !strings.HasSuffix(out, "\n1\n") {
		t.Errorf("%v: %s", err, out)
	}
	socket, err := n.ListenPacket("udp", "127.0.0.1:0") // the loopback is up
	netns.Must(t, err)
	defer socket.Close()
	conn, err := n.Dial(t.Context(), &net.Dialer{}, "udp", socket.LocalAddr().String())
	netns.Must(t, err)
	defer conn.Close()
	io.WriteString(conn, "datagram")
	socket.SetDeadline(time.Now().Add(5 * time.Second))
	text := make([]byte, 100)
	if length, _, err := socket.ReadFrom(text); err != nil || string(text[:length]) != "datagram" {
		t.Errorf("received %q, %v", text[:length], err)
	}
}

// TestStartedByNoThreadThatEnds: a program outlives the thread of who starts it.
func TestStartedByNoThreadThatEnds(t *testing.T) {
	n := netns.New(t, "start")
	cmd := n.Command("cat")
	in, err := cmd.StdinPipe()
	netns.Must(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	netns.Must(t, n.Do(func() error { return netns.Start(cmd) }))
	for range 20 { // threads that end
		netns.Must(t, n.Do(func() error { return nil }))
	}
	if !cmd.SysProcAttr.Setpgid || cmd.SysProcAttr.Pdeathsig != syscall.SIGKILL {
		t.Errorf("started with %+v", cmd.SysProcAttr)
	}
	netns.Must(t, in.Close())
	if err := cmd.Wait(); err != nil {
		t.Errorf("cat ended with %v, not at the end of its input", err)
	}
	if err := netns.Start(exec.Command("/nonexistent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Start returns %v", err)
	}
}

// TestErrorsSayWhat: an error names the command and what it said.
func TestErrorsSayWhat(t *testing.T) {
	n := netns.New(t, "errors")
	_, runs := n.Run("sh", "-c", "echo a word; exit 7")
	for _, test := range []struct {
		err  error
		want []string
	}{
		{n.IP("link set lo up", "link set nosuch up", "link del lo"), []string{"link set nosuch up", "Cannot find device"}},
		{n.Sysctl("net.ipv4.nosuch", "1"), []string{"/proc/sys/net/ipv4/nosuch"}},
		{netns.Cable(netns.End{In: n, Device: "x"}, netns.End{In: n, Device: "name-that-is-too-long"}), []string{"name-that-is-too-long"}},
		{netns.Cable(netns.End{In: n, Device: "x", Addresses: []string{"10.0.0.300/8"}}, netns.End{In: n, Device: "y"}), []string{"10.0.0.300/8"}},
		{runs, []string{"sh -c", "exit status 7", "a word"}},
	} {
		for _, want := range test.want {
			if test.err == nil || !strings.Contains(test.err.Error(), want) {
				t.Errorf("%v does not say %q", test.err, want)
			}
		}
	}
	if _, err := netns.Add(n.Name()); err == nil || !strings.Contains(err.Error(), n.Name()) {
		t.Errorf("made twice: %v", err)
	}
	if err := n.IP("link set lo up"); err != nil {
		t.Errorf("a second of this name took the first away: %v", err)
	}
}

// recorder is a test that only takes notes.
type recorder struct {
	testing.TB
	said     string
	cleanups []func()
}

func (r *recorder) Helper()                           {}
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...) }
func (r *recorder) Fatal(args ...any)                 { r.said += fmt.Sprint(args...) }

// TestNewCleansUp: a namespace goes with its test, and if it cannot, or had
// gone before, the test fails.
func TestNewCleansUp(t *testing.T) {
	for _, gone := range []bool{false, true} {
		r := &recorder{TB: t}
		n := netns.New(r, "cleanup")
		if _, err := os.Stat(filepath.Join("/run/netns", n.Name())); err != nil {
			t.Fatal(err)
		}
		if gone {
			netns.Must(t, n.Close())
		}
		for _, cleanup := range slices.Backward(r.cleanups) {
			cleanup()
		}
		if _, err := os.Stat(filepath.Join("/run/netns", n.Name())); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", n.Name(), err)
		}
		if failed := strings.Contains(r.said, n.Name()); failed != gone {
			t.Errorf("gone before %t, and the test says %q", gone, r.said)
		}
	}
	r := &recorder{TB: t}
	netns.Must(r, nil, errors.New("an error"), nil)
	if r.said != "an error" {
		t.Errorf("Must says %q", r.said)
	}
}

// TestSweep: what a process left that is no more goes, and nothing else.
func TestSweep(t *testing.T) {
	const prefix = "ucsweep"
	left := fmt.Sprintf("%s%d-left", prefix, 1<<30) // above any pid_max
	var kept []string
	for _, name := range []string{left, netns.Name(prefix, "ours"), prefix + "-nobody's", prefix + "12x-x"} {
		n, err := netns.Add(name)
		netns.Must(t, err)
		if name != left {
			kept = append(kept, name)
			t.Cleanup(func() { netns.Must(t, n.Close()) })
		}
	}
	netns.Sweep(prefix)
	entries, err := os.ReadDir("/run/netns")
	netns.Must(t, err)
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			names = append(names, entry.Name())
		}
	}
	if slices.Sort(kept); !slices.Equal(names, kept) {
		t.Errorf("%q are there, not %q", names, kept)
	}
}
