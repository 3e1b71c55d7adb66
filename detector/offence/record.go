package offence

import (
	"net/netip"
	"strings"
)

// Record is what one line says by itself. Strings in it share the line's
// memory.
type Record struct {
	// Addr is the client's address where the program itself wrote it, unmapped
	// and without zone; invalid if the line names none.
	Addr netip.Addr
	// User is the name that the client tried, as logged; "" if there is none.
	User string
	// Count is how many times it happened; 0 stands for 1.
	Count uint32
	Kind  LineKind
	// Reason is the class of an offence, ReasonNone if the line is none.
	Reason Reason
	// AtEnd: Addr stands behind text of the client's, at the end of the line. It
	// is the client's if the line is whole.
	AtEnd bool
	// Long: AtEnd, and more than User stands before.
	Long bool
	// Begins: the line can only be the first of its session that names a client.
	Begins bool
	// Twice: the program writes each such line twice, moments apart.
	Twice bool
	// Temporary: the client got a 4xx reply.
	Temporary bool
	// PerClient: the process serves several clients, at once or in turn, and each
	// line names its own. They share no session.
	PerClient bool
}

const maxRepeat = 1 << 20

// Repeated takes off what rsyslog wraps around a line that it has seen n times
// more: "message repeated N times: [ ... ]", as a whole. n is 1, and text as it
// was, where there is none.
func Repeated(text string) (line string, n uint32) {
	const before, after = "message repeated ", " times: ["
	rest, ok := strings.CutPrefix(text, before)
	if !ok || !strings.HasSuffix(text, "]") {
		return text, 1
	}
	n, rest = Number(rest)
	rest, ok = strings.CutPrefix(rest, after)
	if !ok || n == 0 || rest == "" {
		return text, 1
	}
	return strings.TrimLeft(rest[:len(rest)-1], " "), min(n, maxRepeat)
}

// Number reads up to nine decimal digits at the start of s.
func Number(s string) (n uint32, rest string) {
	i := 0
	for i < len(s) && i < 9 && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + uint32(s[i]-'0')
		i++
	}
	return n, s[i:]
}
