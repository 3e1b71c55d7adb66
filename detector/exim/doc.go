// Package exim reads what Exim writes to its main log about its clients, of 4.96 to
// 4.98, by syslog or as a file: "[DATE TIME ][[PID] ][MESSAGE-ID ]TEXT".
//
// # Who wrote which part of a line
//
// A client is "[NAME ](HELO) [ADDRESS][:PORT][ I=[ADDRESS]:PORT]" (host.c,
// host_and_ident). NAME is from DNS, in the letters of host names. HELO is the
// client's: in the letters of host names or an address in brackets, or anything at
// all with helo_accept_junk_hosts. Commands, addresses, user names and input are
// the client's as well, and are logged with their blanks and brackets. So:
//
//   - Every form is anchored at its start, in words of Exim's own.
//   - Without a HELO the client stands where the form has it, and that is it.
//   - Behind "(" every ") [ADDRESS]" may be the end of the HELO. Each that is
//     followed as the form demands is a reading of the line. Where the readings
//     disagree there is no address: one is Exim's, nothing says which.
//   - Where a command stands before the client, each `" H=` in the line begins a
//     reading, and all must agree in the same way.
//   - A longer line than all syslog daemons keep whole may have lost the client. It
//     is not read.
//   - I=[...] is the server and is never looked at.
//   - "[1/14]" and "[1\14]" are parts of a line that was split for syslog. They
//     hold headers, as the client wrote them, and are not read.
//   - In doubt there is no address.
//
// The reject log must not be read as a file: it holds headers at the start of lines.
// All that it says stands in the main log.
package exim
