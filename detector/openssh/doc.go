// Package openssh reads what OpenSSH's sshd writes about its clients, of versions
// 9.2 to 10.0 (auth.c, auth2.c, packet.c, kex.c, sshd.c, sshd-session.c).
//
// # Who wrote which part of a line
//
// A client writes the name that it logs in with, the text of its disconnect
// message, its version string and its offers. sshd cuts a name at 100 bytes and
// escapes what does not print (log.c), but spaces stay: a name can be the perfect
// end of a line of its own. So:
//
//   - Every form is anchored at its start. Where the client stands right behind
//     sshd's own words, those are followed to its end, and what comes then is not
//     looked at.
//   - Where a name stands before the client, the form is read from its end, which
//     sshd wrote: "from ADDRESS port N ssh2", "ADDRESS port N [preauth]". It holds
//     if the line is whole (Record.AtEnd): syslog daemons cut what they pass on.
//   - With UseDNS, and in lines of PAM, there are host names. They are never
//     looked at.
//   - In doubt there is no address.
//
// # What counts
//
// A refused password is AuthFail, once for each attempt: every attempt is one
// line, whatever else is written about it. A name that does not exist is
// UnknownUser, once a connection. That a key is refused is nothing: clients offer
// all they have. Who leaves before it has logged in is context (NullConnection),
// and so is a client that has no algorithm in common (TLSFail) or does not speak
// SSH (BadCommand). MaxStartups and penalties of sshd's own say nothing new of a
// client, and drop the innocent, too.
package openssh
