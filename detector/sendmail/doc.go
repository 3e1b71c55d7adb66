// Package sendmail reads what sendmail writes about its SMTP clients: Parse
// turns one log line into a Record, Memory joins the Records of an SMTP session
// and gives out Events whose address is proven.
//
// Both are pure: no I/O, no clock, no logger, no goroutine. Parse may be called
// by any goroutine, a Memory belongs to one.
//
// # Who wrote which part of a line
//
// The log of a mail server is full of text that its clients wrote: addresses,
// user names, commands, headers, host names. sendmail quotes none of it. A
// client that is believed where it stands can have anybody blocked. So the
// reader asks of each byte who wrote it, by these rules:
//
//   - R1: "message repeated N times: [ ... ]" is taken off only as a whole, and
//     counts N.
//   - R2: a part "ID[n]: ..." of a split line is never read alone. sendmail
//     splits at 1,024 bytes, at a space or comma, so a client can make the third
//     part a perfect record of anything. The parts are joined, or dropped.
//   - R3: every form is anchored at its start, and at its end where it has one.
//     Behind a queue id any beginning can be forged: the echo of a recipient
//     loses the eighth bit, so 0xA0 comes out as a space (proof.go). Such an
//     echo is at most 203 bytes and is followed by "... ". A line that has that
//     mark where an echo can end is not believed alone.
//   - R4: in check_relay the client is relay=. arg2 may be a DNS list's answer.
//   - R5: where arg1 is an address, it is walked as sendmail's own prescan walks
//     it, through quotes, comments and brackets. The client stands behind its
//     end. The reason is that of the reply behind exactly this address, echoed.
//     Where arg1 is free text, the client counts if all that look like one agree.
//   - R6: from= holds no space, so its value must walk as one address and be
//     followed by the numbers. to= never accuses: relay= is the host that took
//     the message.
//   - R7: where a line begins with the client, in words of sendmail's own, it is
//     the client, in the strict alphabet of resolver and IDENT.
//   - R8: where the client is the last field, cut at 100 bytes, it counts only if
//     it is whole to the end of the line, and the line itself is whole: syslog
//     daemons cut what they pass on, and a client who knows where makes its text
//     end there in a client of his own. A line counts as whole if a longer one
//     has come from the same host in the same way (route.go). The same holds for
//     the only client in free text. Where all of the client's text is a user name
//     of 64 bytes, the line waits for a moment only (ProofShort).
//   - R9: user errors, milter, collect and time-out lines name no address, even
//     if there is something like one in them.
//   - R10: such lines, and those whose client is not proven by R3 or R8, wait in
//     Memory until a line of the same session names the client, or R8 holds. Of
//     two lines that disagree the one that proves less gives way. A session is a
//     sender, its host, a process id, and the second in which that process began,
//     which every queue id carries.
//   - R11: what higher log levels tell once more ("<-- ", "--- ", "milter=") is
//     left out.
//   - R12: in doubt there is no address. A missed offence costs little, a wrong
//     address blocks the innocent.
//
// A name is never used for anything: whoever has a network can name it as ours.
//
// # How well that works
//
// testdata/corpus holds logs of real daemons under attack, with the truth about
// each line from the attackers' side. Of its 1,386 offences, and of 2,510 in
// sessions of random pieces of such attacks, all are given to the right address
// and reason, none to a wrong one (TestCorpusTable prints the table). Taking the
// first "relay=[...]" of a line gives 106 of 531 wrong ones, the last gives 77.
package sendmail
