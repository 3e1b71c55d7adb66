package console

import (
	"fmt"
	"time"
)

// Standing is how an address stands with the list and the kernel.
type Standing uint8

// The standings.
const (
	NotBlocked Standing = iota
	Blocked             // on the list, and dropped
	Spared              // its network is on the list, with a hole for it
	Idle                // on the list, but nothing is dropped: Why.NotEnforced
	Missed              // on the list, but the kernel lets it pass
	Unlisted            // not on the list, but the kernel drops it
)

// Standing takes the kernel's word before that of the list.
func (w Why) Standing() Standing {
	switch {
	case w.Block == nil && w.Kernel.Blocked:
		return Unlisted
	case w.Block == nil:
		return NotBlocked
	case w.Kernel.Blocked:
		return Blocked
	case w.Exempt != "":
		return Spared
	case w.NotEnforced != "":
		return Idle
	case w.Kernel.Problem == "":
		return Missed
	}
	return Blocked
}

// Sentence answers in one sentence whether the address is blocked, and why.
func (w Why) Sentence(now time.Time) string {
	switch w.Standing() {
	case Blocked:
		left := ""
		if !w.Block.Permanent {
			left = ", for another " + RoundDuration(w.Block.Until.Sub(now))
		}
		return fmt.Sprintf("%s is blocked %s%s: %s.", w.Addr, w.Block.end(now), left, w.Block.cause())
	case Spared:
		return fmt.Sprintf("%s is not blocked: it is %s. Its network %s is blocked %s, except for this address.",
			w.Addr, CauseWords(w.Exempt), w.Block.Prefix, w.Block.end(now))
	case Idle:
		return fmt.Sprintf("%s would be blocked %s: %s. But %s.",
			w.Addr, w.Block.end(now), w.Block.cause(), NotEnforcedWords(w.NotEnforced))
	case Missed:
		return fmt.Sprintf("%s should be blocked %s, but the kernel does not block it; `uppercut firewall repair` fixes that.",
			w.Addr, w.Block.end(now))
	case Unlisted:
		return fmt.Sprintf("%s is blocked by the kernel for another %s, but is not on the list; `uppercut firewall repair` fixes that.",
			w.Addr, RoundDuration(time.Duration(w.Kernel.Left)))
	case NotBlocked:
	}
	switch {
	case w.Allowed != nil:
		return fmt.Sprintf("%s is not blocked and will not be: %s is on the allow list.", w.Addr, w.Allowed.Prefix)
	case w.Exempt != "":
		return fmt.Sprintf("%s is not blocked and will not be: it is %s.", w.Addr, CauseWords(w.Exempt))
	case w.LeftAloneUntil.After(now):
		return fmt.Sprintf("%s is not blocked and its offences are not counted until %s.", w.Addr, clock(now, w.LeftAloneUntil))
	}
	return fmt.Sprintf("%s is not blocked; %s.", w.Addr, w.nearest())
}

// end says until when the block lasts.
func (b *Block) end(now time.Time) string {
	if b.Permanent {
		return "forever"
	}
	return "until " + clock(now, b.Until)
}

func (b *Block) cause() string {
	if b.Rule == "manual" {
		return fmt.Sprintf("manually, by %s", b.Author)
	}
	s := fmt.Sprintf("rule %s fired at a score of %.4g", b.Rule, b.Score)
	if b.Reason != "" {
		s += ", mostly for " + b.Reason
	}
	return s
}

// nearest says how far the source is from the rule that it is nearest to.
func (w Why) nearest() string {
	var near *RuleScore
	for i, r := range w.Rules {
		if r.Limit > 0 && r.Score > 0 && (near == nil || r.Score/r.Limit > near.Score/near.Limit) {
			near = &w.Rules[i]
		}
	}
	if near == nil {
		return "no offences count against it"
	}
	return fmt.Sprintf("its score is %.4g of the %.4g at which rule %s fires", near.Score, near.Limit, near.Rule)
}
