package console

import "cmp"

// NotEnforcedWords says why what is on the list is not dropped.
func NotEnforcedWords(cause string) string {
	switch cause {
	case CauseSuspended:
		return "blocking is suspended: nothing is dropped until `uppercut resume`"
	case CauseObserve:
		return "mode is observe: nothing is dropped"
	}
	return cause
}

// causeWords say what somebody is who must not be blocked, or what else stands
// in the way of a block.
var causeWords = map[string]string{
	"too_wide":        "wider than a block may be (enforcer.guard.min_prefix4 and min_prefix6)",
	"own_address":     "an address of this gateway",
	"next_hop":        "a router of this gateway",
	"resolver":        "a DNS server of this gateway",
	"sender":          "a mail host that logs here",
	"ssh_peer":        "connected to this gateway by SSH",
	"allowlist":       "on the allow list",
	"reserved":        "in a reserved range, which is not used on the Internet",
	"already_blocked": "already blocked for as long",
	"set_full":        "one too many: the set is full",
	"run_out":         "too late: the block would have ended already",
	"error":           "refused by the kernel; the log says why",
}

// CauseWords is what somebody is who is not or must not be blocked, to be read
// after "it is".
func CauseWords(cause string) string { return cmp.Or(causeWords[cause], cause) }
