package replay

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/cmd/uppercut/replay/logfile"
)

// openTerminal returns both ends of a pseudo terminal: what people see, and
// what programs write to.
func openTerminal(t *testing.T) (seen, terminal *os.File) {
	t.Helper()
	seen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { seen.Close() })
	fd := int(seen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return seen, terminal
}

// progressOf is the state of having read the first n of size bytes.
func progressOf(t *testing.T, n int, size, lines int64) *progress {
	t.Helper()
	f := logfile.NewStream("x", strings.NewReader(strings.Repeat("x", n)))
	for {
		if _, err := f.Next(make([]byte, logfile.MaxLine)); err != nil {
			break
		}
	}
	p := &progress{size: size}
	p.add(f)
	p.lines.Store(lines)
	return p
}

func TestProgressDescribe(t *testing.T) {
	for _, test := range []struct {
		p    *progress
		want string
	}{
		{progressOf(t, 500_000, 2_000_000, 4_500_000), " 25 %  500.0 kB of 2.0 MB, 1.50 million lines/s, 9s left"},
		{progressOf(t, 2_000_000, 2_000_000, 900), "100 %  2.0 MB of 2.0 MB, 300 lines/s, 0s left"},
		{progressOf(t, 2_000_001, 2_000_000, 900), "100 %  2.0 MB of 2.0 MB, 300 lines/s, 0s left"},
		{progressOf(t, 999, 0, 30_000), "999 B read, 10,000 lines/s"},
		{progressOf(t, 0, 1000, 0), "0 B read, 0 lines/s"},
	} {
		if got := test.p.describe(3 * time.Second); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	seen, terminal := openTerminal(t)
	stop := showProgress(terminal, progressOf(t, 500, 1000, 10))
	shown, err := bufio.NewReader(seen).ReadString('K') // until the first line is complete
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^\r 50 %  500 B of 1\.0 kB, .* lines/s, .* left\x1b\[K$`).MatchString(shown) {
		t.Errorf("shown %q", shown)
	}
	stop()
	rest := make([]byte, 1<<16)
	n, err := seen.Read(rest)
	if err != nil || !bytes.HasSuffix(rest[:n], []byte("\r\x1b[K")) {
		t.Errorf("at the end %q, error %v; want an empty line", rest[:n], err)
	}
}

func TestNoProgressInAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	showProgress(w, progressOf(t, 1, 1, 1))()
	w.Close()
	var got bytes.Buffer
	if n, err := got.ReadFrom(r); n != 0 || err != nil {
		t.Errorf("%q in the pipe, error %v", got.String(), err)
	}
}
