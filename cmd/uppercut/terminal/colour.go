package terminal

import (
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Style is how a line looks on a terminal: the number of an SGR sequence
// (ECMA-48, section 8.3.117), 0 for plain.
type Style string

// Styles of lines.
const (
	Plain   Style = ""
	Heading Style = "1"  // bold
	Good    Style = "32" // green
	Warning Style = "33" // yellow
	Bad     Style = "31" // red
)

func (s Style) paint(text string) string {
	if s == Plain {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// wantsColour says whether what is written to w is read on a terminal by
// somebody who has not asked for plain text (https://no-color.org).
func wantsColour(w io.Writer, environ []string) bool {
	refused := slices.ContainsFunc(environ, func(assignment string) bool {
		name, value, _ := strings.Cut(assignment, "=")
		return name == "NO_COLOR" && value != "" || name == "TERM" && value == "dumb"
	})
	return !refused && IsTerminal(w)
}

// IsTerminal reports whether somebody sits in front of w.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
