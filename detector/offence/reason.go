package offence

// Reason is the class of an offence. Its String is a metric label, a
// configuration word and an API name; none is ever renamed.
type Reason uint8

// The reasons. The comments give what they are about; the formats stand with
// the code that reads them.
const (
	ReasonNone Reason = iota
	RcptTrap
	DNSBL
	DNSBLTempfail
	AccessReject
	SenderAccess
	AccessDenied
	Discard
	TCPWrappers
	NoRDNS
	RDNSForged
	RDNSTemp
	RateLimit
	ConnLimit
	Pregreet
	EHLOPipelining
	RelayDenied
	UnknownUser
	RcptFlood
	AuthFail
	AuthDecode
	SMTPAttack
	VrfyExpn
	VrfyExpnRejected
	OpenProxy
	BogusCmd
	LongInput
	BadCommand
	BadHelo
	NullConnection
	SenderDomain
	SenderDomainTemp
	BadMX
	BadSenderSyntax
	RcptSyntax
	BareNewline
	PrematureEOM
	LostInput
	Timeout
	TLSFail
	MilterReject
	MilterDiscard
	MilterQuarantine
	HeaderReject
	RcptAccess
	HeaderOverflow
	TooBig
	TooManyRcpts
	Hops
	Other
	AuthUnavailable // behind Other: snapshots hold the numbers
	numReasons
)

var reasonNames = [numReasons]string{
	"", "rcpt_trap", "dnsbl", "dnsbl_tempfail", "access_reject", "sender_access", "access_denied", "discard",
	"tcpwrappers", "no_rdns", "rdns_forged", "rdns_temp", "rate_limit", "conn_limit", "pregreet",
	"ehlo_pipelining", "relay_denied", "unknown_user", "rcpt_flood", "auth_fail", "auth_decode",
	"smtp_attack", "vrfy_expn", "vrfy_expn_rejected", "open_proxy", "bogus_cmd", "long_input", "bad_command",
	"bad_helo", "null_connection", "sender_domain", "sender_domain_temp", "badmx", "bad_sender_syntax",
	"rcpt_syntax", "bare_newline", "premature_eom", "lost_input", "timeout", "tls_fail", "milter_reject",
	"milter_discard", "milter_quarantine", "header_reject", "rcpt_access", "header_overflow", "too_big",
	"too_many_rcpts", "hops", "other", "auth_unavailable",
}

func (r Reason) String() string { return reasonNames[r] }

// Reasons returns every reason but ReasonNone, in a fixed order.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := RcptTrap; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// ParseReason returns the reason of that name; false if there is none.
func ParseReason(name string) (Reason, bool) {
	for r := RcptTrap; r < numReasons; r++ {
		if reasonNames[r] == name {
			return r, true
		}
	}
	return ReasonNone, false
}
