package header

import (
	"cmp"
	"strings"
)

// settle looks at the text of a message whose header has been read. Nearly every
// line of sendmail begins with a queue ID or a word, and nothing is to be done.
func (p *Parser) settle(h *Header) {
	t := h.Text
	if h.PID != 0 && len(t) > 4 && p.Tags.plain(t) {
		return
	}
	if t != "" && t[0] == '[' {
		h.Text = skipMessageID(t)
	}
	if h.PID == 0 {
		h.setRepeats()
	}
	if p.Tags.mayHold(h.Tag, h.Text) {
		p.unwrap(h)
	}
}

// settle5424 does so for RFC 5424, where a relay may have taken the first words
// of what it received for host and tag.
func (p *Parser) settle5424(h *Header) error {
	if h.PID == 0 {
		return p.settleForwarded(h)
	}
	p.settle(h)
	return nil
}

// skipMessageID drops "[ID 801593 mail.info] ", which Solaris writes in front of
// the text.
func skipMessageID(text string) string {
	if !strings.HasPrefix(text, "[ID ") {
		return text
	}
	if end := strings.Index(text, "] "); end > 0 && end < 40 {
		return strings.TrimLeft(text[end+2:], " ")
	}
	return text
}

// unwrap takes the header that stands in the text of a message, where that is
// believed: in a message of the program's own, in one of a tag that wraps, and
// behind no tag in what a relay sends.
func (p *Parser) unwrap(h *Header) {
	own, wraps := p.Tags.Own(h.Tag), p.Tags.wraps(h.Tag)
	tag, pid, text, isTag := cutTag(h.Text)
	isOwn := isTag && p.Tags.Own(tag)
	believed := own || wraps || h.Tag == "" && p.relay
	switch {
	case !believed && isOwn:
		h.Withheld = WithheldTag
	case !believed && h.Tag == "" && p.holdsHeader(h.Text):
		h.Withheld = WithheldHeader
	case !believed:
	case isOwn, isTag && !own:
		if !own {
			h.Wrapper = h.Tag
		}
		h.Tag, h.PID, h.Text, h.Relayed = tag, pid, text, true
		h.Text = skipMessageID(h.Text)
	case own:
		p.adopt(h.Text, "", h)
	case wraps:
		p.adopt(h.Text, h.Tag, h)
	default:
		p.adoptSecond(h.Text, h)
	}
}

// parseInner reads s, which stands behind the time and perhaps a host, if it is
// not a host or a tag but another header.
func (p *Parser) parseInner(s string, h *Header) (done bool, err error) {
	switch c := s[0]; {
	case c == '1' && strings.HasPrefix(s, "1 ") && p.parseVersioned(s, h):
		return true, p.settle5424(h)
	case h.Host == "" && p.parseFields(s, h):
		return true, p.settle5424(h)
	case h.Host == "" && c == 's' && p.parseCRI(s, h):
		return true, nil
	case c == '<' && len(s) > 1 && isDigit(s[1]), isDigit(c), c >= 'A' && c <= 'W':
		return p.parseSecond(s, h), nil
	}
	return false, nil
}

// parseVersioned reads "1 TIME HOST APP-NAME PROCID MSGID SD TEXT" behind a
// header of RFC 3164: what inetutils and syslog-ng's network() make of a frame
// of RFC 5424. No program has a name of one digit and writes such a text, so
// this is believed of everybody.
func (p *Parser) parseVersioned(s string, h *Header) bool {
	inner := *h
	inner.Host = ""
	if !p.parse5424(s[len("1 "):], &inner) || inner.Stamp == StampNone {
		return false
	}
	inner.Host = cmp.Or(inner.Host, h.Host)
	inner.Relayed = true
	*h = inner
	return true
}

// parseSecond reads a second header, which is believed of relays only.
func (p *Parser) parseSecond(s string, h *Header) bool {
	if p.relay {
		return p.adoptSecond(s, h)
	}
	if !p.holdsHeader(s) {
		return false
	}
	h.Tag, h.PID, h.Text = "", 0, s
	h.Withheld = WithheldHeader
	return true
}

// adoptSecond puts the header at the start of s in the place of h, which it may
// since a relay has sent it.
func (p *Parser) adoptSecond(s string, h *Header) bool {
	if !p.adopt(s, "", h) {
		return false
	}
	h.Second = true
	return true
}

// holdsHeader reports whether s begins with a header that has a time.
func (p *Parser) holdsHeader(s string) bool {
	var inner Header
	return p.parseNested(s, &inner)
}

// adopt puts the header at the start of s in the place of h, if there is one.
func (p *Parser) adopt(s, wrapper string, h *Header) bool {
	var inner Header
	if !p.parseNested(s, &inner) {
		return false
	}
	inner.Host = cmp.Or(inner.Host, h.Host)
	if inner.Stamp == StampNone {
		inner.Stamp, inner.Time = h.Stamp, h.Time
	}
	inner.Wrapper = cmp.Or(inner.Wrapper, wrapper)
	inner.SequenceID, inner.Relayed, inner.Cut = h.SequenceID, true, inner.Cut || h.Cut
	if s[0] != '<' {
		inner.Priority = h.Priority
	}
	*h = inner
	return true
}

// parseNested reads a header within a message. One without a time is none, unless
// it has PRI, tag and PID, as sysklogd sends it.
func (p *Parser) parseNested(s string, inner *Header) bool {
	s = strings.TrimLeft(s, " ")
	if s == "" || p.depth+1 >= maxDepth {
		return false
	}
	weekday := p.weekday
	p.depth++
	err := p.parse(s, inner)
	p.depth--
	p.weekday = weekday
	return err == nil && (inner.Stamp != StampNone || s[0] == '<' && inner.PID != 0)
}
