// Package header reads the syslog header of live frames and of lines in files:
// one reader for both, so that a replay reads what the appliance reads. It is a
// pure function of its input, of the second that it read last, and of what a
// container's log has left open; it knows nothing of mail.
//
// # What is read
//
// A Parser first tries the shapes that rsyslog sends, without an allocation: RFC
// 3164, ForwardFormat, RFC 5424 without structured data. Everything else goes
// word by word (parseWords): times with fractions, years and zones of every kind;
// hosts that are missing, that stand twice, that are chains or addresses; what
// AIX, FreeBSD and relays write in front of what they forward; facility and
// severity; JSON and CRI. RFC 5424 with structured data is read by
// gopkg.in/mcuadros/go-syslog.v2, behind a recover. testdata/corpus holds what
// real daemons were seen to write.
//
// # What is believed
//
// A second header within a message counts only if Parse is told that a relay has
// sent it, a tag within a text only if Tags says so of the outer tag: whoever can
// make a program write a line could else speak for a mail host. What is withheld
// for that is told (Header.Withheld). Two things are believed of everybody, since
// no program writes them as its tag: the words of AIX and FreeBSD in front of a
// forwarded message, and the fields of RFC 5424 behind a header of RFC 3164.
//
// "last message repeated 3 times" is neither a host nor a tag: Header.Repeats.
package header
