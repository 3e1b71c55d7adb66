// Package postfix reads what Postfix writes about its SMTP clients, of versions 3.7
// to 3.10: smtpd, postscreen, tlsproxy and cleanup (smtpd.c, smtpd_check.c,
// smtpd_sasl_glue.c, postscreen*.c, cleanup_message.c, cleanup_milter.c). Lines of
// other daemons are of no interest.
//
// # Who wrote which part of a line
//
// Addresses, HELO names, subjects, user names, mechanisms and commands are the
// client's, and Postfix quotes little of it. A name in front of an address is that
// of the PTR record, which can be another client's address.
//
//   - Every form is anchored at its start, in words that Postfix's source has. The
//     name of the daemon is not needed: senders that write RFC 5424 lose it.
//   - In all forms but one the client, HOST[ADDRESS], stands right behind those
//     words, before any text of the client's. HOST has the alphabet of host names
//     and is never used.
//   - cleanup writes what a header or body check found before the client. Such a
//     line counts if it is whole (Record.AtEnd) and has "; from=<" once, or names
//     the same client before each: a header can hold a perfect end of such a line.
//   - The reason is that of the reply, which stands behind the echo of an address,
//     a host or a command. Where the reply ends is read from the end of the line:
//     sender and recipient are quoted there, and the HELO name has neither blanks
//     nor brackets. The code in front of it is Postfix's.
//   - HELO and EHLO, refused at once, repeat the client's text as it came. They are
//     taken by their verb.
//   - orig_client=, and what policy services, access tables, DNS lists and next
//     hops say, is never looked at for an address.
//   - In doubt there is no address.
//
// # What counts
//
// docs/postfix.md has the table. A reply of 4xx says that a mail was put off
// (greylisting, a policy, a table that is down): it never counts. What postscreen
// writes twice, as the test and as the refusal that follows, counts once. A client
// is spoken for by what its disconnect line says it delivered, and by a login.
package postfix
