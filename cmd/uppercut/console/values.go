package console

import (
	"net/netip"
	"time"
)

// Status is the appliance in numbers. It holds no address and no log text, so
// that anybody may see it.
type Status struct {
	Version string    `json:"version"`
	Now     time.Time `json:"now"`
	Started time.Time `json:"started"`
	// Mode is "enforce" or "observe".
	Mode string `json:"mode"`
	// Suspended: the table was flushed by an operator and stays away until
	// resume.
	Suspended bool `json:"suspended"`
	// PausedUntil is when that ends by itself, zero if it does not.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	// Enforcing says for each family whether table, sets and rule were found
	// at the last look.
	Enforcing Families `json:"enforcing"`
	// Bypasses say how packets of blocked sources get past the rules.
	Bypasses []string `json:"bypasses,omitempty"`
	// Ready, Checks and Pace are filled in by the console.
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
	Pace   Pace    `json:"pace"`

	Blocks ActiveBlocks `json:"blocks"`
	Totals Totals       `json:"totals"`

	// TrackedSources have a live score; TrackedLimit is how many may.
	TrackedSources int `json:"tracked_sources"`
	TrackedLimit   int `json:"tracked_limit"`
	// HostsSeen have logged since the start, HostsUnseen are expected to and
	// have not yet. HostsSilent are expected to and have not for too long.
	HostsSeen   int `json:"hosts_seen"`
	HostsUnseen int `json:"hosts_unseen"`
	HostsSilent int `json:"hosts_silent"`
	// HostsLosing say, within the last hour, that they have dropped lines before
	// they came here.
	HostsLosing int `json:"hosts_losing"`
	// SendersNotUnderstood send lines of which nothing is understood. A relay
	// counts once for each of its hosts.
	SendersNotUnderstood int `json:"senders_not_understood"`
	// Refused counts the addresses that tried to send within the last hour and
	// are not heard, by what is wrong.
	Refused []RefusedCount `json:"refused"`
	// BreakersOpen is the number of hosts whose evidence is set aside in part.
	BreakersOpen int `json:"breakers_open"`
	AllowEntries int `json:"allow_entries"`
	// Rules are the names of the rules in force.
	Rules []string `json:"rules"`
	// BlockLatencyP50 and P99 are from the line's receipt to the kernel's
	// acknowledgement; 0 while nothing was blocked.
	BlockLatencyP50 Duration `json:"block_latency_p50"`
	BlockLatencyP99 Duration `json:"block_latency_p99"`
	Reload          Reload   `json:"reload"`
}

// Families holds one truth for each address family.
type Families struct {
	IPv4 bool `json:"ipv4"`
	IPv6 bool `json:"ipv6"`
}

// ActiveBlocks counts the blocks in force.
type ActiveBlocks struct {
	Addresses4 int `json:"addresses_ipv4"`
	Addresses6 int `json:"addresses_ipv6"`
	Networks4  int `json:"networks_ipv4"`
	Networks6  int `json:"networks_ipv6"`
}

// Total returns the number of blocks in force.
func (a ActiveBlocks) Total() int { return a.Addresses4 + a.Addresses6 + a.Networks() }

// Networks returns the number of blocks that are wider than one source.
func (a ActiveBlocks) Networks() int { return a.Networks4 + a.Networks6 }

// Totals count since the start of the process, but for packets and bytes, which
// the kernel counts since the table was first made.
type Totals struct {
	Received uint64 `json:"received"`
	Judged   uint64 `json:"judged"`
	// NotUnderstood could not be read: frames, headers, and lines of sendmail's
	// that are of no known form. Foreign lines are those of other programs.
	NotUnderstood uint64 `json:"not_understood"`
	Foreign       uint64 `json:"foreign"`
	// Lost were dropped by the kernel before us, left in a socket when we
	// stopped, or lost on the way as the senders' numbers show. What is refused
	// or not understood is none of them.
	Lost uint64 `json:"lost"`
	// LostAtSource is how many lines the hosts say they have dropped.
	LostAtSource   uint64 `json:"lost_at_source"`
	Rejections     uint64 `json:"rejections"`
	MailAccepted   uint64 `json:"mail_accepted"`
	Blocks         uint64 `json:"blocks"`
	Unblocks       uint64 `json:"unblocks"`
	DroppedPackets uint64 `json:"dropped_packets"`
	DroppedBytes   uint64 `json:"dropped_bytes"`
}

// RefusedCount is how many addresses are refused for one reason.
type RefusedCount struct {
	// Why says in words what is wrong.
	Why       string `json:"why"`
	Addresses int    `json:"addresses"`
}

// NotUnderstoodSentence says of how many senders nothing is understood.
func (s Status) NotUnderstoodSentence() string {
	return "nothing is understood of what " + countOf(s.SendersNotUnderstood, "sender sends", "senders send")
}

// LosingSentence says how many hosts have dropped lines lately.
func (s Status) LosingSentence() string {
	return countOf(s.HostsLosing, "mail host has", "mail hosts have") + " dropped lines within the last hour"
}

// Sentence says how many addresses are refused, and why.
func (r RefusedCount) Sentence() string {
	return countOf(r.Addresses, "address is", "addresses are") + " refused: " + r.Why
}

// Pace compares the last minutes with the hours before: is this an attack?
type Pace struct {
	// Recent is how long the last minutes are, 4 to 6; Before how long the time
	// before them, up to six hours. Both are shorter when the process is young,
	// and 0 if there was no such time.
	Recent     Duration `json:"recent"`
	Before     Duration `json:"before"`
	Rejections Rate     `json:"rejections"`
	Blocks     Rate     `json:"blocks"`
}

// Rate is how many there were a minute, on average, in the times of a Pace.
type Rate struct {
	Recent float64 `json:"recent"`
	Before float64 `json:"before"`
}

// Reload is how the last load of the configuration went.
type Reload struct {
	At      time.Time `json:"at,omitzero"`
	Success time.Time `json:"success,omitzero"`
	// Error says why the file on disk was refused, "" if it was not.
	Error string `json:"error,omitempty"`
}

// Check is one condition of readiness.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Problem says what is wrong, "" if nothing is. Warning says what somebody
	// should know although the check is OK.
	Problem string `json:"problem,omitempty"`
	Warning string `json:"warning,omitempty"`
}

// Health is the answer to "does it do its work?".
type Health struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
}

// Why what is on the list is not dropped: the values of NotEnforced.
const (
	CauseSuspended = "suspended" // an operator has flushed the table
	CauseObserve   = "observe"   // the mode
)

// Block is one entry of the list.
type Block struct {
	ID     uint64       `json:"id"`
	Prefix netip.Prefix `json:"prefix"`
	// At is when the offence happened or the operator spoke; Until when the
	// block ends, zero if it is Permanent.
	At        time.Time `json:"at"`
	Until     time.Time `json:"until,omitzero"`
	Permanent bool      `json:"permanent,omitempty"`
	// Rule is the rule that fired, "manual" for blocks by hand.
	Rule  string  `json:"rule"`
	Score float64 `json:"score"`
	// Reason is the class that weighed most, "" for blocks by hand.
	Reason string `json:"reason,omitempty"`
	// Hosts are the mail hosts that reported it, at most a few.
	Hosts  []string `json:"hosts,omitempty"`
	Note   string   `json:"note,omitempty"`
	Author string   `json:"author,omitempty"`
	// Seen: the source still turned up in the logs long after the block
	// began, so its packets come around the gateway.
	Seen bool `json:"seen_after_block,omitempty"`
}

// PastBlock is a block that was, or one that is still in force.
type PastBlock struct {
	Block
	// Ended is when it ended, zero if it is in force, and Cause how: expired,
	// manual, allowlisted, replaced, flushed, capacity, breaker, or the
	// exemption that ended it, as ssh_peer. If Cause is unknown it ended before its time, and
	// Ended is zero as well.
	Ended time.Time `json:"ended,omitzero"`
	Cause string    `json:"cause,omitempty"`
}

// Evidence is a log line that counted, secrets masked.
type Evidence struct {
	Time time.Time `json:"time"`
	// Sender is who sent the line, a fact; Host what the line says.
	Sender    string `json:"sender"`
	Host      string `json:"host"`
	Transport string `json:"transport"`
	Reason    string `json:"reason"`
	Text      string `json:"text"`
}

// Why answers why an address is or is not blocked.
type Why struct {
	Addr netip.Addr `json:"addr"`
	// Source is the prefix as which the address is scored and blocked.
	Source netip.Prefix `json:"source"`
	// Block is the block that covers the address, nil if there is none.
	Block *Block `json:"block,omitempty"`
	// NotEnforced says why a block is not dropped, "" if it is.
	NotEnforced string `json:"not_enforced,omitempty"`
	// Kernel is what the kernel says of the address.
	Kernel KernelState `json:"kernel"`
	// Exempt says why the address is never blocked, "" if it may be.
	Exempt string `json:"exempt,omitempty"`
	// Allowed is the entry of the allow list that covers it, nil if none does.
	Allowed *Allowance `json:"allowed,omitempty"`
	// LeftAloneUntil is when an unblocked source counts again.
	LeftAloneUntil time.Time `json:"left_alone_until,omitzero"`
	// Rules are the scores by rule, in the order of the configuration.
	Rules []RuleScore `json:"rules,omitempty"`
	// Evidence is what led to the block, or counts now, oldest first.
	Evidence []Evidence `json:"evidence,omitempty"`
	// History are earlier blocks, newest first.
	History []PastBlock `json:"history,omitempty"`
	// Network is what local files say of the address, nil if they say nothing.
	Network *Network `json:"network,omitempty"`
	// Accepted is mail that the fleet took from the source.
	Accepted Accepted `json:"accepted"`
}

// KernelState is what the kernel says of one address.
type KernelState struct {
	// Blocked: an element of our sets covers the address.
	Blocked bool `json:"blocked"`
	// Set is the set that holds the element.
	Set string `json:"set,omitempty"`
	// Left is the time that the kernel will keep it, Forever without a timeout.
	Left Duration `json:"left,omitzero"`
	// Problem says why the kernel was not asked or did not answer.
	Problem string `json:"problem,omitempty"`
	// Bypasses say how the packets may get past the rules all the same.
	Bypasses []string `json:"bypasses,omitempty"`
}

// RuleScore is a source's score against one rule.
type RuleScore struct {
	Rule   string   `json:"rule"`
	Window Duration `json:"window"`
	// Score is the sum in the window now, Limit where the rule fires.
	Score float64  `json:"score"`
	Limit float64  `json:"limit"`
	Block Duration `json:"block"`
	// Course is how the score came about within the window that ends now, in
	// order of time.
	Course []ScorePoint `json:"course,omitempty"`
}

// ScorePoint is a score that a source had from a time on, until the next point.
type ScorePoint struct {
	Time  time.Time `json:"time"`
	Score float64   `json:"score"`
}

// Accepted says what speaks for a source.
type Accepted struct {
	// Messages were accepted from it within the last 7 days, Delivered
	// handed to it. Last is when one was last accepted.
	Messages  uint64    `json:"messages"`
	Delivered uint64    `json:"delivered"`
	Last      time.Time `json:"last,omitzero"`
}

// Allowance is an entry of the allow list.
type Allowance struct {
	Prefix netip.Prefix `json:"prefix"`
	At     time.Time    `json:"at,omitzero"`
	// Until is when it ends; zero for never.
	Until  time.Time `json:"until,omitzero"`
	Note   string    `json:"note,omitempty"`
	Author string    `json:"author,omitempty"`
	// Configured entries come from the file and are removed there.
	Configured bool `json:"configured"`
	// Lifted are the blocks that it ended, in the answer to an order.
	Lifted []netip.Prefix `json:"lifted,omitempty"`
}

// Breaker guards against the evidence of one reporting host.
type Breaker struct {
	// Host is the name by which it is counted, Claimed the one in its lines.
	// Hosts behind a relay with a name of its own differ in the latter only.
	Host    string `json:"host"`
	Claimed string `json:"claimed"`
	// Open: the host's relay-causable and weak evidence is set aside.
	Open  bool      `json:"open"`
	Since time.Time `json:"since,omitzero"`
	// Reason says in words why it opened.
	Reason string `json:"reason,omitempty"`
	// SetAside is the number of offences that came in since it opened and do
	// not count; 0 if it is closed.
	SetAside uint64 `json:"set_aside"`
}

// Sender is a mail host as the appliance sees it, at one sender: a relay sends
// for many hosts.
type Sender struct {
	// Host is the name by which it is counted, Sender the address or
	// certificate name that is a fact, with its transport; both are "" for an
	// expected host that has not logged since the start.
	Host      string    `json:"host"`
	Sender    string    `json:"sender"`
	Transport string    `json:"transport"`
	Last      time.Time `json:"last,omitzero"`
	// Expected: the configuration names it. Silent: for longer than it may,
	// whoever sends for it.
	Expected bool `json:"expected"`
	Silent   bool `json:"silent"`
	// Messages came from this sender; Rejections and Accepted are the host's,
	// whoever sent them.
	Messages   uint64 `json:"messages"`
	Rejections uint64 `json:"rejections"`
	Accepted   uint64 `json:"accepted"`
	// Skew is arrival minus the line's time, of the newest line.
	Skew        Duration `json:"skew"`
	BreakerOpen bool     `json:"breaker_open"`
	// Understood lines are sendmail's and were read, NotUnderstood ones
	// sendmail's and of no known form, Foreign ones of other programs, ForeignTag
	// the tag of the last of them. Unread frames are the sender's, of whatever
	// host: their headers could not be read.
	Understood    uint64 `json:"understood"`
	NotUnderstood uint64 `json:"not_understood"`
	Foreign       uint64 `json:"foreign"`
	ForeignTag    string `json:"foreign_tag,omitempty"`
	Unread        uint64 `json:"unread"`
	// NothingUnderstood: lines come, and none of them is of use.
	NothingUnderstood bool `json:"nothing_understood"`
	// SourceLost is how many lines the host says it has dropped before they came
	// here, SourceLosses how often it did not say how many; LastLoss is when it
	// said so last, and LossText how.
	SourceLost   uint64    `json:"source_lost"`
	SourceLosses uint64    `json:"source_losses_unknown"`
	LastLoss     time.Time `json:"last_loss,omitzero"`
	LossText     string    `json:"loss_text,omitempty"`
	// Advice says what in the configuration, here or at the sender, keeps its
	// lines from being read; "" for nothing that is known.
	Advice string `json:"advice,omitempty"`
	// Refused says why an address is not heard, nil if it is. Host is "" then,
	// and Last its last attempt.
	Refused *Refused `json:"refused,omitempty"`
}

// Unclear is how much came of the sender that could not be read.
func (s Sender) Unclear() uint64 { return s.NotUnderstood + s.Unread }

// Losing reports whether the host has said within the last hour that it dropped
// lines.
func (s Sender) Losing(now time.Time) bool { return now.Sub(s.LastLoss) < time.Hour }

// Refused is why an address that tries to send is not heard.
type Refused struct {
	// Reason is the label in the metrics, Why the same in words.
	Reason string `json:"reason"`
	Why    string `json:"why"`
	// Certificate is the name in the certificate that was refused, "" without
	// one.
	Certificate string    `json:"certificate,omitempty"`
	First       time.Time `json:"first"`
	// Attempts are connections and datagrams.
	Attempts uint64 `json:"attempts"`
}

// Sample is the last line of its shape that was not understood, secrets masked.
type Sample struct {
	// Time is when it arrived.
	Time time.Time `json:"time"`
	// Stage is framing, syslog or sendmail; Reason says for syslog what is wrong
	// with the header, as in the metrics.
	Stage  string `json:"stage"`
	Reason string `json:"reason,omitempty"`
	Sender string `json:"sender"`
	Host   string `json:"host,omitempty"`
	// Count is how many lines of this shape there were.
	Count uint64 `json:"count"`
	Text  string `json:"text"`
}

// Rejection is a client that a mail host has just refused.
type Rejection struct {
	Time   time.Time  `json:"time"`
	Addr   netip.Addr `json:"addr"`
	Host   string     `json:"host"`
	Sender string     `json:"sender"`
	Reason string     `json:"reason"`
	// Text is the line, secrets masked.
	Text string `json:"text"`
}

// AuditEntry is something that somebody ordered.
type AuditEntry struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Author string    `json:"author"`
	Note   string    `json:"note,omitempty"`
	// Prefixes are the first few that were asked for, Count how many there
	// were.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	Count    int            `json:"count"`
	// Undone is for how many of Count there was nothing to do, or no leave to:
	// blocks that a guard refused, addresses that were not blocked. A reload
	// that was refused has 1.
	Undone int `json:"undone,omitempty"`
	// Host is the mail host that it was about, "" if it was about none.
	Host string `json:"host,omitempty"`
	// Until is when a flush ends by itself, zero if it does not.
	Until time.Time `json:"until,omitzero"`
}

// TopItem is one of the most, see Top.
type TopItem struct {
	// Name is a prefix, a reason or a host.
	Name string `json:"name"`
	// Count is the number of rejections in the history, or of offences that
	// still count for a source.
	Count uint64 `json:"count"`
	// Score is a source's highest share of a rule's limit: 1 blocks.
	Score float64   `json:"score,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Top is who or what there is most of.
type Top struct {
	// By is source, reason or host.
	By    string    `json:"by"`
	Items []TopItem `json:"items"`
}

// Firewall is the state of our objects in the kernel.
type Firewall struct {
	// Table is the name of the table, with its family.
	Table string `json:"table"`
	// NotEnforced says why there is no table, "" if there should be one.
	NotEnforced string `json:"not_enforced,omitempty"`
	// Verified is when the objects and elements were last compared.
	Verified time.Time `json:"verified,omitzero"`
	// Problems say what is missing or wrong, none if all is well: now, or when
	// it was compared.
	Problems []string `json:"problems,omitempty"`
	// Missing and Unexpected count the elements that differ from the list.
	Missing    int           `json:"missing"`
	Unexpected int           `json:"unexpected"`
	Sets       []FirewallSet `json:"sets"`
	// Unsearched names the sets in which nobody looked for elements that are not
	// on the list: they are large, and this kernel does not count them.
	Unsearched []string `json:"unsearched,omitempty"`
	// Flowtables are those of all tables, Covered the devices of theirs at whose
	// ingress the rules stand, too.
	Flowtables []string `json:"flowtables,omitempty"`
	Covered    []string `json:"covered,omitempty"`
	// Bypasses say how packets of blocked sources get past the rules.
	Bypasses []string `json:"bypasses,omitempty"`
	// Repairs is how often the kernel was put right since the start of the
	// process, after others had changed it; LastDrift is what was found last,
	// nil while nothing was.
	Repairs   uint64 `json:"repairs"`
	LastDrift *Drift `json:"last_drift,omitempty"`
	// Dropped are packets dropped by our rules since the table was first made.
	DroppedPackets4 uint64 `json:"dropped_packets_ipv4"`
	DroppedPackets6 uint64 `json:"dropped_packets_ipv6"`
}

// Drift is a difference between kernel and list that was found and repaired.
type Drift struct {
	Time time.Time `json:"time"`
	// Kinds are table, chain, rules, set, counter, missing, unexpected and
	// timeout.
	Kinds []string `json:"kinds"`
	// Process and PID are who changed it, "" and 0 if the kernel did not say.
	Process string `json:"process,omitempty"`
	PID     uint32 `json:"pid,omitempty"`
}

// FirewallSet is one nftables set.
type FirewallSet struct {
	Name string `json:"name"`
	// Elements is nil if there is no such set (Absent) or the kernel does not
	// count (before Linux 6.16). Those that have run out count until the kernel
	// has collected them.
	Elements *int `json:"elements,omitempty"`
	Absent   bool `json:"absent,omitempty"`
	// Listed is how many elements the set should have.
	Listed   int `json:"listed"`
	Capacity int `json:"capacity"`
}
