package sendmail

import "strings"

// ownWords begin lines that are known and say nothing of a client's conduct.
// Each holds an unquoted space, so no client's address can begin like that.
var ownWords = [256][]string{
	'a': {"alias ", "accepting connections ", "accepting new messages ", `auth="`},
	'A': {"AUTH: ", "AUTH error ", "AUTH error: ", "AUTH encode64 error ", "AUTH warning: ", "AUTH=client, ", "Authentication-Warning: ", "Aliasing/", "Aborting queue run: "},
	'c': {"clone: ", "clone ", "control: ", "config error: "},
	'd': {"done; ", "dns ", "daemon ", "deferred: ", "deferring connections on daemon ", "disconnect level ", "dowork, ", "dropenvelope, "},
	'D': {"DIGEST-MD5 ", "DSN: ", "Daemon ", "DEBUG: "},
	'e': {"error: ", "engine=(null), "},
	'E': {"ETRN: ", "ERROR: "},
	'f': {"forward ", "found ", "fixed MIME ", "finis, "},
	'F': {"Fixed MIME "},
	'g': {"grew WorkList "},
	'h': {"have been rejecting connections on daemon "},
	'i': {"in background, "},
	'I': {"INFO: "},
	'l': {"low on ", "log terminated, "},
	'L': {"Losing "},
	'm': {"makeconnection ("},
	'M': {
		"Milter (", "Milter accept: ", "Milter add: ", "Milter delete: ", "Milter change: ", "Milter message: ",
		"Milter insert", "Milter add_rcpt: ", "Milter delete rcpt: ", "Milter chgfrom: ", "Milter: ",
	},
	'n': {"no more ", "new configuration "},
	'o': {"outgoing "},
	'p': {"problem ", "poststats: "},
	'Q': {"Queue "},
	'q': {"queue ", "queueup "},
	'r': {"rejecting new messages", "rejecting connections on daemon ", "runqueue: ", "runqueue ", "restarting ", "return to sender: "},
	's': {
		"starting daemon (", "started as: ", "started ", "stopping daemon, ", "smtpquit: ", "server ", "sender notify: ",
		"sendenvelope, ",
	},
	'S': {
		"STARTTLS=client, ", "STARTTLS=client: ", "STARTTLS=server, ", "STARTTLS=server: ", "STARTTLS: ", "STARTTLS=read, ",
		"STARTTLS=write, ", "STARTTLS=init, ", `Sending "`, "SMTP outgoing connect on ", "SMTP ", "Saved message in ",
		"Skipping queue run",
	},
	't': {"truncated ", "too young (", "tls_srv_features=", "tls_clt_features="},
	'T': {"TLS: ", "Truncated "},
	'u': {"unable to ", "unlink "},
	'w': {"warning: "},
	'W': {"WARNING: ", "Warning: "},
	'-': {"--- "},
	'P': {"POSSIBLE ATTACK from "},
}

// ownWord begin the other such lines. As they hold no space, they are looked at
// only when the line is nothing else.
var ownWord = [...]string{
	"discarded", "engine=", "exiting", "init_milter", "milter_", "file=", "quarantine", "reject=", "stat=", "STARTTLS",
	"RunQueue", "SYSERR(", "map=", "rscheck(", "locked", "changed", "unlock", "interrupt", "assigned id", "/", "grew",
}

// isOwn says whether s is a line of sendmail's own beyond doubt.
func isOwn(s string) bool {
	for _, head := range ownWords[s[0]] {
		if strings.HasPrefix(s, head) {
			return true
		}
	}
	return isDialogue(s) || isAboutNewID(s)
}

// isDialogue says whether s is a command as logged at LogLevel 15, "<-- ...".
// The echo of an address in angle brackets can begin like that, too.
func isDialogue(s string) bool {
	if !strings.HasPrefix(s, "<-- ") {
		return false
	}
	end := pathEnd(s)
	echo := end > 0 && strings.HasSuffix(s[:end], "...")
	return !echo || !isSyntaxError(s) && !strings.HasSuffix(s, "... User unknown")
}

// isAboutNewID says whether s tells of a message that sendmail itself made:
// "NEWQID: DSN: ...", "NEWQID: clone: ...".
func isAboutNewID(s string) bool {
	n, _ := idLength(s)
	return n > 0 && strings.HasPrefix(s[n:], ": ")
}

// isLikelyOwn says whether s, which is no other form, is likely a line of
// sendmail's own.
func isLikelyOwn(s string) bool {
	for _, head := range ownWord {
		if strings.HasPrefix(s, head) {
			return true
		}
	}
	return false
}
