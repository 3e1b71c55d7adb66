package loggen

import (
	"fmt"
	"strconv"
)

// Format is how a Line is written to a file or sent over a network.
type Format uint8

// The file formats end each line with LF; the others are single messages
// without an end, for a datagram or a frame.
const (
	// Traditional: "Nov 23 08:13:28 mx1 sm-mta[42]: TEXT".
	Traditional Format = iota
	// ISO: rsyslog's RSYSLOG_FileFormat, microseconds and zone.
	ISO
	// DateTime: "2026-11-23 08:13:28 mx1 sm-mta[42]: TEXT".
	DateTime
	// RFC5424: rsyslog's RSYSLOG_SyslogProtocol23Format.
	RFC5424
	// RFC3164Message is what rsyslog sends by default.
	RFC3164Message
	// ForwardMessage is RSYSLOG_ForwardFormat.
	ForwardMessage
	// RFC5424Message is RSYSLOG_SyslogProtocol23Format on the wire.
	RFC5424Message
)

var formatNames = []string{
	"traditional", "iso", "datetime", "rfc5424",
	"rfc3164-message", "forward-message", "rfc5424-message",
}

func (f Format) String() string { return formatNames[f] }

// IsFile reports whether f is a file format.
func (f Format) IsFile() bool { return f <= RFC5424 }

// ParseFormat returns the Format of that name.
func ParseFormat(name string) (Format, error) {
	for i, n := range formatNames {
		if n == name {
			return Format(i), nil
		}
	}
	return 0, fmt.Errorf("format %q is not one of %q", name, formatNames)
}

// Append appends the line in format f to b.
func (f Format) Append(b []byte, l *Line) []byte {
	switch f {
	case Traditional:
		return append(l.appendTagged(l.Time.AppendFormat(b, "Jan _2 15:04:05 ")), '\n')
	case ISO:
		return append(l.appendTagged(l.Time.AppendFormat(b, "2006-01-02T15:04:05.000000-07:00 ")), '\n')
	case DateTime:
		return append(l.appendTagged(l.Time.AppendFormat(b, "2006-01-02 15:04:05 ")), '\n')
	case RFC5424:
		return append(l.append5424(b), '\n')
	case RFC3164Message:
		return l.appendTagged(l.Time.AppendFormat(l.appendPriority(b), "Jan _2 15:04:05 "))
	case ForwardMessage:
		return l.appendTagged(l.Time.AppendFormat(l.appendPriority(b), "2006-01-02T15:04:05.000000-07:00 "))
	case RFC5424Message:
		return l.append5424(b)
	}
	panic("loggen: no such format")
}

// AppendFrame appends message with its length in front (RFC 6587, octet
// counting).
func AppendFrame(b, message []byte) []byte {
	b = strconv.AppendInt(b, int64(len(message)), 10)
	b = append(b, ' ')
	return append(b, message...)
}

const facilityMail = 2

func (l *Line) appendPriority(b []byte) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, facilityMail*8+int64(l.Severity), 10)
	return append(b, '>')
}

// appendTagged appends "HOST TAG[PID]: TEXT".
func (l *Line) appendTagged(b []byte) []byte {
	b = append(b, l.Host...)
	b = append(b, ' ')
	b = append(b, l.Tag...)
	if l.PID != 0 {
		b = append(b, '[')
		b = strconv.AppendUint(b, uint64(l.PID), 10)
		b = append(b, ']')
	}
	b = append(b, ": "...)
	return append(b, l.Text...)
}

func (l *Line) append5424(b []byte) []byte {
	b = append(l.appendPriority(b), "1 "...)
	b = l.Time.AppendFormat(b, "2006-01-02T15:04:05.000000-07:00 ")
	b = append(b, l.Host...)
	b = append(b, ' ')
	b = append(b, l.Tag...)
	b = append(b, ' ')
	if l.PID != 0 {
		b = strconv.AppendUint(b, uint64(l.PID), 10)
	} else {
		b = append(b, '-')
	}
	b = append(b, " - -  "...) // rsyslog keeps the space in front of the text
	return append(b, l.Text...)
}
