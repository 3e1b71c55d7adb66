package sendmail

import "strings"

// infoLines begin the lines that are known and say nothing of a client's
// conduct. Each holds a space, so no client text can look like one.
var infoLines = [256][]string{
	'a': {"alias ", "accepting connections", "accepting new messages", "alias database "},
	'A': {"AUTH: ", "AUTH error ", "AUTH warning: ", "AUTH=client, ", "Authentication-Warning: ", "Aliasing/", "Added "},
	'c': {"clone: ", "control: "},
	'd': {"done; ", "dns ", "discarded", "daemon "},
	'D': {"DIGEST-MD5 ", "DSN: ", "Daemon "},
	'e': {"error: ", "engine=", "exiting"},
	'E': {"ETRN: "},
	'f': {"forward ", "file=", "found "},
	'g': {"grew WorkList "},
	'i': {"init_milter", "intialization"},
	'I': {"INFO: "},
	'l': {"low on ", "log terminated, "},
	'L': {"Losing "},
	'm': {"makeconnection (", "milter_"},
	'M': {"Milter (", "Milter accept: ", "Milter add: ", "Milter delete: ", "Milter change: ", "Milter message: ", "Milter insert ", "Milter add_rcpt: ", "Milter delete rcpt: ", "Milter chgfrom: "},
	'n': {"no more ", "new config"},
	'N': {"NOQUEUE: "},
	'o': {"outgoing "},
	'p': {"problem "},
	'Q': {"Queue "},
	'q': {"queue ", "quarantine", "quarantined "},
	'r': {"rejecting connections on daemon ", "runqueue: ", "restarting ", "reject=", "return to sender: "},
	'R': {"RunQueue"},
	's': {"starting daemon (", "started as: ", "stopping daemon", "started ", "smtpquit: ", "server ", "saslauthd", "stat=", "sender notify: "},
	'S': {"STARTTLS", "SYSERR(", `Sending "`, "SMTP outgoing connect on ", "SMTP ", "Saved message in "},
	't': {"tls_srv_features=", "tls_clt_features=", "timeout "},
	'T': {"TLS: "},
	'u': {"unable to ", "user "},
	'w': {"warning: ", "WARNING: "},
	'W': {"WARNING: ", "Warning: "},
	'<': {"<-- "},
	'-': {"--- "},
	'/': {"/"},
	'P': {"POSSIBLE ATTACK from "},
}

func isInfo(s string) bool {
	for _, head := range infoLines[s[0]] {
		if strings.HasPrefix(s, head) {
			return true
		}
	}
	if n, _ := idLength(s); n > 0 {
		return strings.HasPrefix(s[n:], ": ") // "QID: NEWQID: DSN: ..." and clones
	}
	return false
}
