// Package dovecot reads what Dovecot's login processes write about their clients
// (imap-login, pop3-login, submission-login, managesieve-login of 2.3 and 2.4), by
// syslog: "dovecot: imap-login: MESSAGE: user=<USER>, method=M, rip=ADDRESS,
// lip=ADDRESS, TLS, session=<ID>" (login-common/client-common.c).
//
// # Who wrote which part of a line
//
// The client writes the user name, of which up to 80 bytes are logged as they are,
// quotes, blanks and brackets included, and the name of the mechanism, in capitals
// and without blanks. A name may look like all of the fields that follow it. So:
//
//   - The message is Dovecot's own. It is taken up to the first ": user=<", and
//     must be one that is known: a name cannot stand before it.
//   - The client is the last ", rip=". That is Dovecot's own if nothing but
//     Dovecot's fields follow it: no ">" may, other than the end of the session id,
//     with which the line ends. If the last rip were in the name, the ">" that ends
//     the name would follow.
//   - A line of more than 480 bytes may have been cut, and with it the ">". It is
//     not believed.
//   - With login_trusted_networks, rip is what the proxy says that its client is.
//     That is the administrator's decision.
//   - In doubt there is no address.
//
// A login_log_format_elements without %r, or one that ends with the user name, is
// not read safely. The default has both rip and session.
//
// # What counts
//
// The line at the end of a session says how often the client failed; the user
// name is that of the last attempt. What the auth process writes with auth_verbose
// counts nothing: with two password databases it is "unknown user" or "Password
// mismatch" for each login that succeeds in the second. Password databases that
// fail are auth_unavailable where Dovecot says so. It does not where a file is
// missing and another database does not know the user: that is "auth failed".
//
// A password that is refused because the session is not encrypted has not been
// looked up. It counts like a session without a password.
package dovecot
