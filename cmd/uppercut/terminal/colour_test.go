package terminal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newTerminal returns both ends of a pseudo terminal.
func newTerminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return screen, program
}

// Colour is for terminals, unless somebody asks for none.
func TestColourOnATerminalOnly(t *testing.T) {
	screen, terminal := newTerminal(t)
	for _, tc := range []struct {
		environ []string
		want    string
	}{
		{nil, "\x1b[31mcheck\x1b[0m\r\n"},
		{[]string{"NO_COLOR="}, "\x1b[31mcheck\x1b[0m\r\n"},
		{[]string{"NO_COLOR=1"}, "check\r\n"},
		{[]string{"TERM=dumb"}, "check\r\n"},
	} {
		p := NewPrinter(terminal, tc.environ)
		p.Styled(Bad, "check")
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(tc.want))
		if _, err := io.ReadFull(screen, got); err != nil || string(got) != tc.want {
			t.Errorf("%v: %q, %v; want %q", tc.environ, got, err, tc.want)
		}
	}
	var file bytes.Buffer
	p := NewPrinter(&file, nil)
	p.Styled(Bad, "check")
	if err := p.Flush(); err != nil || file.String() != "check\n" {
		t.Errorf("%q, %v: colour in a file", file.String(), err)
	}
}

// JSON on a terminal means the same, and turns no text around; in a file it is as
// the encoder writes it.
func TestJSONOnATerminalIsVisible(t *testing.T) {
	const hostile = "\u202egnp\u009b31m\x7f\u200b\U000e0041\x1b[2J\u00e9<"
	screen, terminal := newTerminal(t)
	if err := WriteJSON(terminal, []string{hostile}); err != nil {
		t.Fatal(err)
	}
	want := "[\r\n  \"" + `\u202egnp\u009b31m\u007f\u200b\udb40\udc41\u001b[2J` + "\u00e9<\"\r\n]"
	got, err := bufio.NewReader(screen).ReadString(']')
	if err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	var file bytes.Buffer
	if err := WriteJSON(&file, []string{hostile}); err != nil || !strings.Contains(file.String(), "\u202egnp\u009b31m") {
		t.Errorf("%q, %v: escaped in a file", file.String(), err)
	}
	for name, text := range map[string]string{"terminal": got, "file": file.String()} {
		var back []string
		if err := json.Unmarshal([]byte(text), &back); err != nil || len(back) != 1 || back[0] != hostile {
			t.Errorf("%s: %q, %v", name, back, err)
		}
	}
}

// Colours move no column, and the text of others brings none.
func TestColoursKeepColumnsAligned(t *testing.T) {
	show := func(colour bool) string {
		var out bytes.Buffer
		p := NewPrinter(&out, nil)
		p.colour = colour
		p.Styled(Heading, "PREFIX", "RULE", "ENDS IN", "NOTE")
		p.Styled(Warning, netip.MustParsePrefix("203.0.113.9/32"), "burst", p.Left(time.Time{}), "\x1b[31mred\x1b[0m\n\u202e")
		p.Row(netip.MustParsePrefix("2001:db8:77::/64"), "a long name of a rule", p.Left(p.now.Add(time.Hour)))
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	coloured, plain := show(true), show(false)
	if !strings.HasPrefix(coloured, "\x1b[1mPREFIX") || !strings.Contains(coloured, "\x1b[33m203.0.113.9/32") {
		t.Errorf("colours: %q", coloured)
	}
	bare := coloured
	for _, s := range []Style{Heading, Warning} {
		bare = strings.ReplaceAll(bare, "\x1b["+string(s)+"m", "")
	}
	if bare = strings.ReplaceAll(bare, "\x1b[0m", ""); bare != plain {
		t.Errorf("with colour\n%s, without\n%s", bare, plain)
	}
	if strings.Contains(plain, "\x1b") || !strings.Contains(plain, `\x1b[31mred\x1b[0m\x0a\u202e`) {
		t.Errorf("the note reaches the terminal as it is: %q", plain)
	}
	at := strings.Index(plain, "RULE")
	for line := range strings.Lines(plain) {
		if line[at-1] != ' ' || line[at] == ' ' {
			t.Errorf("the columns are not aligned:\n%s", plain)
		}
	}
}
