package detector

import (
	"fmt"
	"slices"

	"uppercut/detector/dovecot"
	"uppercut/detector/exim"
	"uppercut/detector/offence"
	"uppercut/detector/openssh"
	"uppercut/detector/postfix"
	"uppercut/detector/sendmail"
)

// Program reads what one program beside sendmail writes. It has no state, and any
// goroutine may call it.
type Program interface {
	// Name is what detector.programs and metrics call it.
	Name() string
	// Ours reports whether lines with that syslog tag are the program's.
	Ours(tag string) bool
	// Parse reads the text behind "TAG[PID]: " into rec, which is empty.
	Parse(text string, rec *offence.Record)
	// Mask returns text without the secrets that it may hold.
	Mask(text string) string
}

// programs are all that can be read beside sendmail. Line.program counts them
// from 1.
var programs = []Program{openssh.Program{}, dovecot.Program{}, exim.Program{}, postfix.Program{}}

// maxTimes bounds how often one line of a program says that something happened.
const maxTimes = 1000

// programFactor spreads the number of a program over a key.
const programFactor = 0x9e3779b97f4a7c15

// Programs returns the names of the programs beside sendmail that can be read.
func Programs() (names []string) {
	for _, p := range programs {
		names = append(names, p.Name())
	}
	return names
}

func (c Config) validatePrograms() error {
	for i, name := range c.Programs {
		if !slices.Contains(Programs(), name) {
			return fmt.Errorf("programs[%d]: %q is unknown; there are: %s", i, name, Programs())
		}
		if slices.Contains(c.Programs[:i], name) {
			return fmt.Errorf("programs[%d]: %q is listed twice", i, name)
		}
	}
	return nil
}

// Reader reads the texts of lines. It is immutable and safe for concurrent use.
type Reader struct {
	tags    tags
	mail    *sendmail.Parser
	enabled []uint8 // numbers of programs
}

// NewReader returns a Reader of sendmail's lines and of those of c.Programs.
func NewReader(c Config) (*Reader, error) {
	mail, err := sendmail.NewParser(c.Texts)
	if err != nil {
		return nil, fmt.Errorf("texts%w", err)
	}
	r := &Reader{tags: newTags(c.Tags), mail: mail}
	for i, p := range programs {
		if slices.Contains(c.Programs, p.Name()) {
			r.enabled = append(r.enabled, uint8(i+1))
		}
	}
	return r, nil
}

// Ours reports whether lines with that syslog tag are read.
func (r *Reader) Ours(tag string) bool { return r.tags.match(tag) || r.programOf(tag) != 0 }

func (r *Reader) programOf(tag string) uint8 {
	for _, number := range r.enabled {
		if programs[number-1].Ours(tag) {
			return number
		}
	}
	return 0
}

// Read reads text, which stands behind the tag, into l, whose Tag is set. A tag of
// sendmail's is sendmail's, whatever program it is of as a rule.
func (r *Reader) Read(l *Line, text string) {
	if !r.tags.match(l.Tag) {
		if l.program = r.programOf(l.Tag); l.program != 0 {
			p := programs[l.program-1]
			line, count := offence.Repeated(text)
			var said offence.Record
			p.Parse(line, &said)
			said.Count = min(max(1, said.Count), maxTimes) * count
			l.twice = said.Twice
			l.Record = sendmail.Of(&said, l.PID, text, p.Mask)
			return
		}
	}
	r.mail.Parse(text, &l.Record)
}

// Mask returns the line's text without the secrets that it may hold.
func (l *Line) Mask() string {
	if l.program == 0 {
		return sendmail.Mask(l.Record.Text)
	}
	return programs[l.program-1].Mask(l.Record.Text)
}

// Program names the program whose line it is, if it is one of Programs; "" for
// sendmail and what is not read.
func (l *Line) Program() string {
	if l.program == 0 {
		return ""
	}
	return programs[l.program-1].Name()
}
