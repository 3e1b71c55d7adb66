package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/appliance"
	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector/offence"
	"uppercut/enforcer"
)

func newStatusCommand(env *environment) *cobra.Command {
	return asking(env, &cobra.Command{
		Use:     "status",
		Example: "  uppercut status\n  uppercut status --json",
		Short:   "Show the state of the appliance on one screen",
		Long: `status shows the state of the appliance on one screen, checks included. Exit
code 0 whatever the checks find, 1 if no appliance answers; health is for health
checks.`,
		Args: noArgs,
	}, func(ctx context.Context, c *console.Client, _ []string) (console.Status, error) {
		return c.Status(ctx)
	}, printStatus)
}

func printStatus(p *terminal.Printer, s console.Status) error {
	p.Row("version", s.Version, "running for "+terminal.RoundDuration(s.Now.Sub(s.Started)))
	p.Styled(modeStyle(s), "mode", s.Mode, enforcingWords(s))
	printBypasses(p, s.Bypasses)
	p.Row(blocksWord(s), s.Blocks.Total(), fmt.Sprintf("IPv4 %d addresses %d networks, IPv6 %d addresses %d networks",
		s.Blocks.Addresses4, s.Blocks.Networks4, s.Blocks.Addresses6, s.Blocks.Networks6))
	p.Row("dropped", s.Totals.DroppedPackets, fmt.Sprintf("packets (%d bytes) since the table was first created", s.Totals.DroppedBytes))
	p.Row("messages", s.Totals.Received, fmt.Sprintf("received, %d judged, %d lost, %d not understood, %d of other programs",
		s.Totals.Judged, s.Totals.Lost, s.Totals.NotUnderstood, s.Totals.Foreign))
	p.Row("mail", s.Totals.Rejections, fmt.Sprintf("rejections, %d messages accepted", s.Totals.MailAccepted))
	paceRow(p, "rejections", s.Pace, s.Pace.Rejections)
	paceRow(p, "new blocks", s.Pace, s.Pace.Blocks)
	p.Row("sources", s.TrackedSources, fmt.Sprintf("tracked, of at most %d", s.TrackedLimit))
	p.Row("hosts", s.HostsSeen, fmt.Sprintf("logging, %d configured but never heard, %d silent, %d breakers open", s.HostsUnseen, s.HostsSilent, s.BreakersOpen))
	printUnheard(p, s)
	p.Row("latency", latencyWords(s))
	if s.Reload.Error != "" {
		p.Styled(terminal.Warning, "reload", "failed", s.Reload.Error)
	}
	return printChecks(p, s.Checks)
}

// printUnheard says what is sent, or tried to be sent, and is of no use.
func printUnheard(p *terminal.Printer, s console.Status) {
	for _, r := range s.Refused {
		p.Styled(terminal.Warning, "refused", r.Sentence()+"; uppercut senders lists them")
	}
	if s.SendersNotUnderstood > 0 {
		p.Styled(terminal.Bad, "senders", s.NotUnderstoodSentence()+"; uppercut senders says what they send")
	}
	if s.HostsLosing > 0 {
		p.Styled(terminal.Warning, "losses", fmt.Sprintf("%s, %d lines since the start; uppercut senders has what they say", s.LosingSentence(), s.Totals.LostAtSource))
	}
}

// blocksWord names what is on the list: blocks where packets are dropped.
func blocksWord(s console.Status) string {
	switch {
	case s.Mode == config.ModeObserve:
		return "would block"
	case s.Suspended:
		return "on the list"
	}
	return "blocks"
}

// latencyWords says how long it takes from a log line to the kernel.
func latencyWords(s console.Status) string {
	if s.BlockLatencyP99 == 0 {
		return "no line has led to a block yet"
	}
	return fmt.Sprintf("p50 <= %s, p99 <= %s from log line to kernel", console.RoundDuration(time.Duration(s.BlockLatencyP50)),
		console.RoundDuration(time.Duration(s.BlockLatencyP99)))
}

// paceRow writes how many there are a minute now, and how many there were; how
// many in all where there was no minute yet.
func paceRow(p *terminal.Printer, name string, pace console.Pace, r console.Rate) {
	if recent := time.Duration(pace.Recent); recent < time.Minute {
		p.Row(name, fmt.Sprintf("%.0f", r.Recent*recent.Minutes()), "in the last "+terminal.RoundDuration(recent))
		return
	}
	words := "a minute in the last " + terminal.RoundDuration(time.Duration(pace.Recent))
	if pace.Before > 0 {
		words += fmt.Sprintf(", %.1f in the %s before", r.Before, terminal.RoundDuration(time.Duration(pace.Before)))
	}
	p.Row(name, fmt.Sprintf("%.1f", r.Recent), words)
}

func modeStyle(s console.Status) terminal.Style {
	switch {
	case s.Suspended:
		return terminal.Bad
	case s.Mode == config.ModeObserve:
		return terminal.Warning
	case s.Enforcing.IPv4 && s.Enforcing.IPv6:
		return terminal.Good
	}
	return terminal.Bad
}

func enforcingWords(s console.Status) string {
	switch {
	case s.Suspended:
		if !s.PausedUntil.IsZero() {
			return fmt.Sprintf("SUSPENDED: nothing is blocked for another %s, or until uppercut resume", console.RoundDuration(s.PausedUntil.Sub(s.Now)))
		}
		return "SUSPENDED by flush: nothing is blocked until uppercut resume"
	case s.Mode == config.ModeObserve:
		return "nothing is blocked; decisions are recorded"
	case s.Enforcing.IPv4 && s.Enforcing.IPv6:
		return "table, sets and rules found in the kernel"
	}
	return "NOT ENFORCED: table, sets or rules are missing; see uppercut firewall verify"
}

func printChecks(p *terminal.Printer, checks []console.Check) error {
	for _, c := range checks {
		switch {
		case !c.OK:
			p.Styled(terminal.Bad, "check", c.Name, "NOT OK: "+c.Problem)
		case c.Warning != "":
			p.Styled(terminal.Warning, "check", c.Name, "ok, but "+c.Warning)
		default:
			p.Row("check", c.Name, "ok")
		}
	}
	return nil
}

func newHealthCommand(env *environment) *cobra.Command {
	return asking(env, &cobra.Command{
		Use:     "health",
		Example: "  uppercut health",
		Short:   "Report whether the appliance is working (for health checks)",
		Long: `health prints the result of each check of the appliance. Exit code 0 if all
pass, 3 if one fails (for example because blocking is suspended), 1 if no
appliance answers.`,
		Args: noArgs,
	}, func(ctx context.Context, c *console.Client, _ []string) (console.Health, error) {
		return c.Health(ctx)
	}, func(p *terminal.Printer, h console.Health) error {
		if err := printChecks(p, h.Checks); err != nil || h.Ready {
			return err
		}
		return exitCode{code: exitNo}
	})
}

func newBlocksCommand(env *environment) *cobra.Command {
	var search console.Search
	command := &cobra.Command{
		Use:     "blocks [flags] [PREFIX]",
		Example: "  uppercut blocks 203.0.113.0/24\n  uppercut blocks --reason auth_fail --limit 0",
		Short:   "List current blocks, newest first",
		Long: `blocks lists the blocks in force that overlap PREFIX (an address, a network, or
the beginning of an address such as 203.0.); without PREFIX, all of them.`,
		Args: atMostOne("PREFIX"),
	}
	registerFilter(env, command, &search)
	limitVar(command, &search.Limit, 100, "how many to list; 0 lists all")
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (console.BlockPage, error) {
		search.Text = strings.Join(args, "")
		page, err := allPages(ctx, c, search)
		if err != nil || page.Matching > 0 {
			return page, err
		}
		return page, knownNames(ctx, c, search)
	}, func(p *terminal.Printer, page console.BlockPage) error {
		all := console.Search{Limit: search.Limit}
		if len(page.Blocks) == 0 && search != all {
			p.Row("no matching blocks")
			return nil
		}
		return printBlocks(p, page)
	})
}

// registerFilter adds the flags that choose among the blocks.
func registerFilter(env *environment, command *cobra.Command, search *console.Search) {
	f := command.Flags()
	f.StringVar(&search.Reason, "reason", "", "only blocks for this `class` of offence")
	f.StringVar(&search.Host, "host", "", "only blocks that this mail `host` reported")
	f.StringVar(&search.Rule, "rule", "", "only blocks by this `rule`, manual or blocklist")
	completes(command, "reason", reasonNames)
	completes(command, "rule", func() []string {
		r := env.read()
		return append(r.Config.RuleNames(), enforcer.Manual, enforcer.Listed)
	})
	command.PreRunE = func(*cobra.Command, []string) error {
		if _, known := offence.ParseReason(search.Reason); known || search.Reason == "" {
			return nil
		}
		return exitCode{exitUsage, fmt.Errorf("--reason: %q is not one of %s", search.Reason, strings.Join(reasonNames(), ", "))}
	}
}

// knownNames makes a usage error of a rule or host that nothing is known of: a
// search for it finds nothing for a mistake in typing.
func knownNames(ctx context.Context, c *console.Client, s console.Search) error {
	if s.Rule != "" && !slices.Contains([]string{enforcer.Manual, enforcer.Listed, "neighbourhood"}, s.Rule) {
		status, err := c.Status(ctx)
		if err != nil {
			return err
		}
		if err := knownName(ctx, c, "--rule", s.Rule, status.Rules, console.Search{Rule: s.Rule, Limit: 1}); err != nil {
			return err
		}
	}
	if s.Host == "" {
		return nil
	}
	senders, err := c.Senders(ctx)
	if err != nil {
		return err
	}
	var hosts []string
	for _, sender := range senders {
		hosts = append(hosts, sender.Host)
	}
	slices.Sort(hosts)
	return knownName(ctx, c, "--host", s.Host, slices.Compact(hosts), console.Search{Host: s.Host, Limit: 1})
}

// knownName takes a name that is among the known ones, or that a block has.
func knownName(ctx context.Context, c *console.Client, flag, name string, known []string, blocks console.Search) error {
	if slices.Contains(known, name) {
		return nil
	}
	page, err := c.Blocks(ctx, blocks)
	if err != nil || page.Matching > 0 {
		return err
	}
	const shown = 10
	if len(known) == 0 {
		return exitCode{exitUsage, fmt.Errorf("%s: %q is not known; no mail host has logged yet", flag, name)}
	}
	more := ""
	if len(known) > shown {
		known, more = known[:shown], fmt.Sprintf(" and %d more", len(known)-shown)
	}
	return exitCode{exitUsage, fmt.Errorf("%s: %q is not one of %s%s", flag, name, strings.Join(known, ", "), more)}
}

func reasonNames() (names []string) {
	for _, reason := range offence.Reasons() {
		names = append(names, reason.String())
	}
	return names
}

// allPages asks until Limit blocks are there, for all of them if it is 0.
func allPages(ctx context.Context, c *console.Client, s console.Search) (console.BlockPage, error) {
	const page = 1000
	wanted := s.Limit
	all := console.BlockPage{Blocks: []console.Block{}}
	for {
		s.Limit = page
		if wanted > 0 {
			s.Limit = min(page, wanted-len(all.Blocks))
		}
		next, err := c.Blocks(ctx, s)
		if err != nil {
			return all, err
		}
		all.Blocks = append(all.Blocks, next.Blocks...)
		all.Matching, all.NotEnforced = next.Matching, next.NotEnforced
		all.Next, s.After = next.Next, next.Next
		if next.Next == "" || len(all.Blocks) == wanted {
			return all, nil
		}
	}
}

func printBlocks(p *terminal.Printer, page console.BlockPage) error {
	p.WarnNotEnforced(page.NotEnforced)
	if len(page.Blocks) == 0 {
		p.Row("no blocks")
		return nil
	}
	p.Styled(terminal.Heading, "PREFIX", "LEFT", "SINCE", "RULE", "SCORE", "REASON", "HOSTS", "BY", "NOTE")
	for _, b := range page.Blocks {
		p.Styled(blockStyle(b), b.Prefix, p.Left(b.Until), p.Ago(b.At), b.Rule, fmt.Sprintf("%.1f", b.Score), b.Reason, strings.Join(b.Hosts, ","), b.Author, noteWords(b))
	}
	total := fmt.Sprintf("%d in all", page.Matching)
	if page.Matching > len(page.Blocks) {
		total = fmt.Sprintf("%d of %d; --limit 0 lists all", len(page.Blocks), page.Matching)
	}
	p.Row(total)
	return nil
}

// blockStyle marks blocks that do not keep out whom they should.
func blockStyle(b console.Block) terminal.Style {
	if b.Seen {
		return terminal.Warning
	}
	return terminal.Plain
}

// noteWords is the note, and what the operator must know of the block.
func noteWords(b console.Block) string {
	if b.Seen {
		return strings.TrimSpace("STILL SEEN: bypasses the gateway. " + b.Note)
	}
	return b.Note
}

func newWhyCommand(env *environment) *cobra.Command {
	var asked netip.Prefix
	return asking(env, &cobra.Command{
		Use:   "why ADDRESS | PREFIX",
		Short: "Show all about an address: whether it is blocked, why, since when, and the log lines",
		Long: fmt.Sprintf(`why shows on one screen why an address is or is not blocked. It also takes what
blocks prints: a prefix that is counted or blocked as one, such as the /64 of an
IPv6 client.
Exit code 3 if its packets are not dropped: not blocked, exempt within a blocked
network, blocking suspended, or mode observe. It lists the last %d earlier blocks;
"expired" means that no earlier end is on record.`, appliance.MaxHistory),
		Example: "  uppercut why 203.0.113.9\n  uppercut why 2001:db8:1:2::/64",
		Args:    exactlyOne("address"),
		PreRunE: func(_ *cobra.Command, args []string) (err error) {
			if asked, err = config.ParsePrefix(args[0]); err != nil {
				return exitCode{exitUsage, err}
			}
			return nil
		},
	}, func(ctx context.Context, c *console.Client, _ []string) (console.Why, error) {
		return c.Why(ctx, asked)
	}, printWhy)
}

func printWhy(p *terminal.Printer, w console.Why) error {
	printVerdict(p, w)
	for _, r := range w.Rules {
		p.Row("rule "+r.Rule, fmt.Sprintf("%.4g of %.4g points within %s", r.Score, r.Limit, console.FormatDuration(time.Duration(r.Window))))
	}
	if w.Network != nil {
		p.Row("network", w.Network)
	}
	if in := w.Accepted; in.Messages+in.Delivered > 0 {
		words := fmt.Sprintf("%d messages accepted, %d delivered to it", in.Messages, in.Delivered)
		if !in.Last.IsZero() {
			words += ", last accepted " + p.Ago(in.Last)
		}
		p.Row("in favour", words)
	}
	for _, b := range w.History {
		when := "before"
		if b.Cause == "" {
			when = "also"
		}
		p.Row(when, fmt.Sprintf("%s %s by %s, %s", blockedAs(b.Prefix, w.Addr), p.Ago(b.At), b.Rule, endWords(p, b)))
	}
	for _, e := range w.Evidence {
		p.Row(e.Reason, fmt.Sprintf("%s %s via %s (%s): %s",
			e.Time.Local().Format(time.DateTime), e.Host, e.Sender, e.Transport, e.Text))
	}
	if s := w.Standing(); s != console.Blocked && s != console.Unlisted {
		return exitCode{code: exitNo}
	}
	return nil
}

// blockedAs names the prefix of a block that is not of the address alone.
func blockedAs(prefix netip.Prefix, addr netip.Addr) string {
	if prefix == netip.PrefixFrom(addr, addr.BitLen()) {
		return "blocked"
	}
	return fmt.Sprintf("%s blocked", prefix)
}

// endWords says when and how an earlier block ended.
func endWords(p *terminal.Printer, b console.PastBlock) string {
	switch {
	case b.Cause == "":
		if b.Permanent {
			return "in force, forever"
		}
		return "in force for another " + p.Left(b.Until)
	case b.Ended.IsZero():
		return "ended early (cause not recorded)"
	}
	return fmt.Sprintf("ended %s: %s", p.Ago(b.Ended), b.Cause)
}

// printVerdict says whether the address is blocked, and what the kernel says.
func printVerdict(p *terminal.Printer, w console.Why) {
	p.Styled(headlineOf(p, w))
	if b := w.Block; b != nil && b.Author+b.Note != "" {
		p.Row("manual", byWords(b.Author, b.Note))
	}
	p.Row("kernel", kernelWords(w.Kernel))
	printBypasses(p, w.Kernel.Bypasses)
	if w.Allowed != nil {
		p.Row("allowed", fmt.Sprintf("%s (%s) %s", w.Allowed.Prefix, allowanceEnd(p, *w.Allowed), w.Allowed.Note))
	}
	if w.Exempt != "" {
		p.Row("never blocked", "it is "+console.CauseWords(w.Exempt))
	}
	if !w.LeftAloneUntil.IsZero() {
		p.Row("unblocked", "counts again in "+p.Left(w.LeftAloneUntil))
	}
}

// headlineOf answers the question in a line.
func headlineOf(p *terminal.Printer, w console.Why) (terminal.Style, any, any) {
	as := ""
	if w.Block != nil {
		lasting := "forever"
		if !w.Block.Permanent {
			lasting = "for another " + p.Left(w.Block.Until)
		}
		as = fmt.Sprintf("blocked as %s since %s, %s, by %s", w.Block.Prefix, w.Block.At.Local().Format(time.DateTime), lasting, w.Block.Rule)
	}
	switch w.Standing() {
	case console.Blocked:
		return terminal.Bad, w.Addr, as
	case console.Spared:
		return terminal.Good, w.Addr, fmt.Sprintf("not blocked: it is %s; its network is %s, except for this address", console.CauseWords(w.Exempt), as)
	case console.Idle:
		return terminal.Warning, w.Addr, fmt.Sprintf("would be %s; but %s", as, console.NotEnforcedWords(w.NotEnforced))
	case console.Missed:
		return terminal.Bad, w.Addr, fmt.Sprintf("should be %s; but the kernel does not drop it; uppercut firewall repair fixes that", as)
	case console.Unlisted:
		return terminal.Bad, w.Addr, "not on the list, but the kernel drops it"
	case console.NotBlocked:
	}
	return terminal.Good, w.Addr, "not blocked"
}

// byWords is who ordered something, and the note if there is one.
func byWords(author, note string) string {
	if author == "" || note == "" {
		return author + note
	}
	return author + ": " + note
}

func kernelWords(k console.KernelState) string {
	switch {
	case k.Problem != "":
		return k.Problem
	case k.Blocked && k.Left == console.Forever:
		return fmt.Sprintf("drops it (set %s, no timeout)", k.Set)
	case k.Blocked:
		return fmt.Sprintf("drops it (set %s, %s left)", k.Set, terminal.RoundDuration(time.Duration(k.Left)))
	}
	return "lets it pass"
}

func newSendersCommand(env *environment) *cobra.Command {
	return asking(env, &cobra.Command{
		Use:     "senders",
		Example: "  uppercut senders",
		Short:   "List mail hosts that log, configured hosts that do not, and refused addresses",
		Long: `senders lists each mail host at each sender, and how its lines were read: READ
are sendmail lines that were understood, UNKNOWN sendmail lines that were not,
FOREIGN lines of other programs (with the tag of the last one), UNREAD frames of
the sender without a known header. BY is the transport; SKEW is the age of the
newest line when it arrived. Addresses that try to send and are refused are
listed at the end.`,
		Args: noArgs,
	}, func(ctx context.Context, c *console.Client, _ []string) ([]console.Sender, error) {
		return c.Senders(ctx)
	}, printSenders)
}

func printSenders(p *terminal.Printer, list []console.Sender) error {
	p.Styled(terminal.Heading, "HOST", "SENDER", "BY", "LAST", "MESSAGES", "READ", "UNKNOWN", "FOREIGN", "UNREAD", "REJECTIONS", "ACCEPTED", "SKEW", "")
	for _, s := range list {
		if s.Refused != nil {
			p.Styled(terminal.Bad, "-", s.Sender, s.Transport, p.Ago(s.Last), "", "", "", "", "", "", "", "", refusedWords(p, *s.Refused))
			continue
		}
		p.Styled(senderStyle(s), s.Host, s.Sender, s.Transport, p.Ago(s.Last), s.Messages, s.Understood, s.NotUnderstood, foreignWords(s), s.Unread,
			s.Rejections, s.Accepted, skewWords(time.Duration(s.Skew)), senderState(s))
	}
	return nil
}

// refusedWords say why an address is not heard.
func refusedWords(p *terminal.Printer, r console.Refused) string {
	words := "REFUSED: " + r.Why
	if r.Certificate != "" {
		words += " (" + r.Certificate + ")"
	}
	return fmt.Sprintf("%s, %d attempts, first %s", words, r.Attempts, p.Ago(r.First))
}

// skewWords rounds a skew, which is below 0 for a clock that is ahead.
func skewWords(skew time.Duration) string {
	if skew < 0 {
		return "-" + terminal.RoundDuration(-skew)
	}
	return terminal.RoundDuration(skew)
}

func senderStyle(s console.Sender) terminal.Style {
	switch {
	case s.Silent, s.NothingUnderstood:
		return terminal.Bad
	case s.BreakerOpen, s.Losing(time.Now()):
		return terminal.Warning
	}
	return terminal.Plain
}

func senderState(s console.Sender) string {
	var words []string
	switch {
	case s.Silent && s.Last.IsZero():
		words = append(words, "NEVER SEEN")
	case s.Silent:
		words = append(words, "SILENT")
	case s.Expected && s.Last.IsZero():
		words = append(words, "not heard yet")
	}
	if s.NothingUnderstood {
		words = append(words, "NOTHING UNDERSTOOD")
	}
	if s.Advice != "" {
		words = append(words, s.Advice)
	}
	if s.SourceLost+s.SourceLosses > 0 {
		words = append(words, "dropped lines: "+s.LossText)
	}
	if s.BreakerOpen {
		words = append(words, "breaker open")
	}
	return strings.Join(words, "; ")
}

// foreignWords are how many lines are those of other programs, and the tag of the
// last of them.
func foreignWords(s console.Sender) string {
	if s.ForeignTag == "" {
		return fmt.Sprint(s.Foreign)
	}
	return fmt.Sprintf("%d (%s)", s.Foreign, s.ForeignTag)
}

func newTopCommand(env *environment) *cobra.Command {
	var limit int
	command := &cobra.Command{
		Use:       "top [source|reason|host]",
		Example:   "  uppercut top\n  uppercut top reason --limit 5",
		Short:     "List sources closest to a block, the most frequent reasons, or hosts",
		ValidArgs: []string{"source", "reason", "host"},
		Args:      atMostOneOf("source", "reason", "host"),
	}
	limitVar(command, &limit, 20, fmt.Sprintf("how many to list, at most %d; 0 lists that many", console.MaxTop))
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (console.Top, error) {
		by := "source"
		if len(args) > 0 {
			by = args[0]
		}
		return c.Top(ctx, by, cmp.Or(limit, console.MaxTop))
	}, func(p *terminal.Printer, top console.Top) error {
		if top.By != "source" {
			if len(top.Items) == 0 {
				p.Row("no offences since the start")
				return nil
			}
			p.Styled(terminal.Heading, strings.ToUpper(top.By), "OFFENCES")
			for _, item := range top.Items {
				p.Row(item.Name, item.Count)
			}
			return nil
		}
		if len(top.Items) == 0 {
			p.Row("no source that is not blocked has offences that still count")
			return nil
		}
		p.Styled(terminal.Heading, "SOURCE", "OFFENCES", "TO BLOCK", "LAST")
		for _, item := range top.Items {
			share := ""
			if item.Score > 0 {
				share = fmt.Sprintf("%.0f %%", 100*item.Score)
			}
			p.Row(item.Name, item.Count, share, p.Ago(item.Last))
		}
		return nil
	})
}

func newFirewallCommand(env *environment) *cobra.Command {
	command := &cobra.Command{
		Use:     "firewall",
		Example: "  uppercut firewall verify",
		Short:   "Show, verify or repair the firewall in the kernel",
	}
	asksForCommand(command)
	var flags orderFlags
	repair := &cobra.Command{
		Use: "repair", Short: "Make the kernel match the block list", Args: noArgs,
		Example: "  uppercut firewall repair",
	}
	flags.registerNote(repair)
	command.AddCommand(
		asking(env, &cobra.Command{
			Use: "show", Short: "Show the state of the firewall without reading every element", Args: noArgs,
			Example: "  uppercut firewall show",
		},
			func(ctx context.Context, c *console.Client, _ []string) (console.Firewall, error) {
				return c.Firewall(ctx)
			},
			printFirewall),
		asking(env, &cobra.Command{
			Use: "verify", Short: "Compare the kernel with the block list; exit code 3 if they differ", Args: noArgs,
			Example: "  uppercut firewall verify",
		},
			func(ctx context.Context, c *console.Client, _ []string) (console.Firewall, error) {
				return c.VerifyFirewall(ctx)
			},
			printVerified),
		asking(env, repair,
			func(ctx context.Context, c *console.Client, _ []string) (console.Firewall, error) {
				return c.RepairFirewall(ctx, flags.note)
			},
			printFirewall),
	)
	return command
}

func printFirewall(p *terminal.Printer, f console.Firewall) error {
	p.Row("table", f.Table, "compared "+p.Ago(f.Verified))
	for _, s := range f.Sets {
		p.Row("set", s.Name, elementsWords(s))
	}
	if len(f.Flowtables) > 0 {
		p.Row("flowtables", strings.Join(f.Flowtables, ", "), "rules in front of them at "+cmp.Or(strings.Join(f.Covered, ", "), "no device"))
	}
	printBypasses(p, f.Bypasses)
	p.Row("dropped", fmt.Sprintf("%d IPv4 packets, %d IPv6 packets", f.DroppedPackets4, f.DroppedPackets6))
	p.Row("repaired", fmt.Sprintf("%d times since the start%s", f.Repairs, driftWords(p, f.LastDrift)))
	for _, problem := range f.Problems {
		p.Styled(terminal.Bad, "problem", problem)
	}
	if f.Missing+f.Unexpected > 0 {
		p.Styled(terminal.Bad, "differs", fmt.Sprintf("%d elements missing, %d unexpected", f.Missing, f.Unexpected))
	}
	return nil
}

// printBypasses says how packets get past the rules.
func printBypasses(p *terminal.Printer, bypasses []string) {
	for _, b := range bypasses {
		p.Styled(terminal.Warning, "bypass", b)
	}
}

// driftWords says what had to be repaired last, and who had changed it.
func driftWords(p *terminal.Printer, d *console.Drift) string {
	if d == nil {
		return ""
	}
	words := fmt.Sprintf("; last difference %s: %s", p.Ago(d.Time), strings.Join(d.Kinds, ", "))
	if d.Process != "" {
		words += fmt.Sprintf(", changed by %s (pid %d)", d.Process, d.PID)
	}
	return words
}

func elementsWords(s console.FirewallSet) string {
	switch {
	case s.Absent:
		return "absent"
	case s.Elements == nil:
		return fmt.Sprintf("%d elements on the list, of %d (kernels before Linux 6.16 do not count)", s.Listed, s.Capacity)
	}
	return fmt.Sprintf("%d elements of %d", *s.Elements, s.Capacity)
}

func printVerified(p *terminal.Printer, f console.Firewall) error {
	if err := printFirewall(p, f); err != nil {
		return err
	}
	if len(f.Problems) > 0 || f.Missing+f.Unexpected > 0 {
		return exitCode{code: exitNo}
	}
	for _, set := range f.Unsearched {
		p.Styled(terminal.Warning, "unsearched", set, "is too large to search for elements that are not on the list; uppercut firewall repair removes them")
	}
	if len(f.Unsearched) > 0 {
		p.Styled(terminal.Good, "verified", "the kernel has all that is on the list")
		return nil
	}
	p.Styled(terminal.Good, "verified", "the kernel matches the list")
	return nil
}
