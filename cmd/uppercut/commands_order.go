package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/appliance"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/detector"
	"uppercut/enforcer"
)

// durationFlag is a flag that takes days as the configuration does.
type durationFlag time.Duration

func (d *durationFlag) Type() string { return "duration" }

// String is "" for 0: what happens then stands in the help.
func (d *durationFlag) String() string {
	switch *d {
	case 0:
		return ""
	case durationFlag(console.Forever):
		return "forever"
	}
	return console.FormatDuration(time.Duration(*d))
}

func (d *durationFlag) Set(text string) error {
	if text == "forever" {
		*d = durationFlag(console.Forever)
		return nil
	}
	v, err := console.ParseDuration(text)
	if err == nil && v <= 0 {
		err = fmt.Errorf("%q must be more than 0", text)
	}
	*d = durationFlag(v)
	return err
}

// orderFlags are common to the commands that change something.
type orderFlags struct {
	lasts durationFlag
	note  string
}

func (f *orderFlags) registerNote(command *cobra.Command) {
	command.Flags().StringVar(&f.note, "note", "", "`text` for the audit log, shown by audit and why")
}

func newBlockCommand(env *environment) *cobra.Command {
	var flags orderFlags
	command := &cobra.Command{
		Use:   "block [--for D] [--note TEXT] PREFIX... | -",
		Short: "Block addresses or networks manually",
		Long: `block drops all packets from the given addresses or networks at the gateway, for
1 hour or as long as --for says; "forever" lasts until unblock. - reads a list
from standard input, one entry per line. Addresses that must never be blocked are
refused. Exit code 3 if any was refused, and if nothing is dropped because
blocking is suspended or the mode is observe.`,
		Example: "  uppercut block --for 2h --note 'ticket 4711' 203.0.113.9 198.51.100.0/24",
		Args:    atLeastOne("an address or a network, or - for standard input"),
	}
	command.Flags().Var(&flags.lasts, "for", "`duration` of the block, for example 90m, 7d or forever (default 1h)")
	flags.registerNote(command)
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (console.BlockResult, error) {
		prefixes, err := env.readPrefixes(args)
		if err != nil || len(prefixes) == 0 {
			return console.BlockResult{}, err
		}
		return c.Block(ctx, time.Duration(flags.lasts), flags.note, prefixes...)
	}, func(p *terminal.Printer, result console.BlockResult) error {
		verb := "blocked"
		if result.NotEnforced != "" {
			verb = "on the list"
		}
		for _, b := range result.Blocked {
			p.Row(verb, b.Prefix, p.Lasting(b.Until))
		}
		if len(result.Blocked)+len(result.Refused) == 0 {
			p.Row("nothing to block: the list is empty")
		}
		for _, r := range result.Refused {
			p.Styled(terminal.Bad, "refused", r.Prefix, fmt.Sprintf("%s: it is %s", r.Cause, console.CauseWords(r.Cause)))
		}
		adviseWider(p, env, result.Blocked)
		p.WarnNotEnforced(result.NotEnforced)
		if len(result.Refused) > 0 || result.NotEnforced != "" {
			return exitCode{code: exitNo}
		}
		return nil
	})
}

// adviseWider says where a client is counted by more than the address that was
// blocked: it can step aside.
func adviseWider(p *terminal.Printer, env *environment, blocked []console.Block) {
	bits := env.read().Config.Detector.IPv6Prefix
	for _, b := range blocked {
		if counted := detector.SourcePrefix(b.Prefix.Addr(), bits); b.Prefix.IsSingleIP() && counted.Bits() < b.Prefix.Bits() {
			p.Styled(terminal.Warning, "hint", b.Prefix, fmt.Sprintf("the client most likely owns all of %s, which is counted as one source; block that to keep it out", counted))
		}
	}
}

func newUnblockCommand(env *environment) *cobra.Command {
	var (
		flags  orderFlags
		filter console.Search
	)
	command := &cobra.Command{
		Use:   "unblock [--note TEXT] PREFIX... | - | --host HOST | --rule RULE | --reason CLASS",
		Short: "Remove blocks, reset the scores, and ignore the sources for a while",
		Long: `unblock removes every block that covers, or lies within, a given address or
network, or all blocks that a host reported, a rule made or a class of offence
led to. They are gone from the kernel when it returns. The scores of these
addresses are reset, and their offences are not counted for a while. Exit code 3
if nothing was blocked.`,
		Example: "  uppercut unblock --note 'customer called' 203.0.113.9\n  uppercut unblock --note 'its filter was broken' --host mx3",
		Args: func(cmd *cobra.Command, args []string) error {
			if (len(args) > 0) != (filter != console.Search{}) {
				return nil
			}
			return exitCode{exitUsage, errors.New("unblock needs addresses or networks, or - for standard input, or one of --host, --rule and --reason")}
		},
	}
	flags.registerNote(command)
	registerFilter(env, command, &filter)
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (console.UnblockResult, error) {
		filtered := len(args) == 0
		prefixes, err := env.readPrefixes(args)
		if filtered {
			prefixes, err = blockedPrefixes(ctx, c, filter)
		}
		if err == nil && filtered && len(prefixes) == 0 {
			err = knownNames(ctx, c, filter)
		}
		if err != nil || len(prefixes) == 0 {
			return console.UnblockResult{}, err
		}
		return c.Unblock(ctx, filtered, flags.note, prefixes...)
	}, printUnblocked)
}

// blockedPrefixes lists what is blocked and matches.
func blockedPrefixes(ctx context.Context, c *console.Client, filter console.Search) (prefixes []netip.Prefix, err error) {
	page, err := allPages(ctx, c, filter)
	for _, b := range page.Blocks {
		prefixes = append(prefixes, b.Prefix)
	}
	return prefixes, err
}

func printUnblocked(p *terminal.Printer, result console.UnblockResult) error {
	for _, prefix := range result.Unblocked {
		p.Row("unblocked", prefix)
	}
	for _, prefix := range result.NotBlocked {
		p.Row("not blocked", prefix)
	}
	for _, l := range result.Listed {
		p.Styled(terminal.Warning, "listed", l.Prefix, fmt.Sprintf("%s will block it again within a minute: remove it from the file, or use uppercut allow", l.File))
	}
	if !result.LeftAloneUntil.IsZero() {
		p.Row("score reset", "not counted for the next "+p.Left(result.LeftAloneUntil))
	} else {
		p.Row("no matching blocks")
	}
	if len(result.Unblocked) == 0 {
		return exitCode{code: exitNo}
	}
	return nil
}

func newAllowCommand(env *environment) *cobra.Command {
	var (
		flags    orderFlags
		remove   bool
		force    bool
		prefixes []netip.Prefix
	)
	command := &cobra.Command{
		Use:   "allow [--for D] [--note TEXT] [--remove] [PREFIX... | -]",
		Short: "Never block addresses or networks, permanently or for a while",
		Long: `allow adds addresses or networks to the allow list, permanently or for a while
(--for), and removes their blocks within a second. --remove removes them from the
list; exit code 3 if none of them was on it. Without arguments it prints the list,
including the entries of the configuration. A prefix that covers much of the
Internet, such as 0.0.0.0/0, is refused without --force: it would leave hardly any
address that can be blocked.`,
		Example: "  uppercut allow --for 7d --note 'migration of example.net' 198.51.100.0/24",
		Args: func(cmd *cobra.Command, args []string) error {
			if remove {
				return atLeastOne("an address or network for --remove")(cmd, args)
			}
			return nil
		},
	}
	command.Flags().Var(&flags.lasts, "for", "`duration`, for example 90m or 7d (default forever)")
	command.Flags().BoolVar(&force, "force", false, "allow even a prefix that covers much of the Internet")
	command.Flags().BoolVar(&remove, "remove", false, "remove from the list")
	flags.registerNote(command)
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) ([]console.Allowance, error) {
		var err error
		prefixes, err = env.readPrefixes(args)
		switch {
		case err != nil:
			return nil, err
		case len(prefixes) == 0 && len(args) == 0 && !remove:
			return c.Allowed(ctx)
		case remove:
			return c.Disallow(ctx, flags.note, prefixes...)
		}
		return c.Allow(ctx, force, time.Duration(flags.lasts), flags.note, prefixes...)
	}, func(p *terminal.Printer, list []console.Allowance) error {
		if remove {
			return printRemoved(p, prefixes, list)
		}
		if len(list) == 0 {
			p.Row("the allow list is empty")
		}
		for _, a := range list {
			p.Row("allowed", a.Prefix, allowanceEnd(p, a), a.Author, a.Note)
			for _, lifted := range a.Lifted {
				p.Row("unblocked", lifted)
			}
		}
		return nil
	})
}

// printRemoved says which of the prefixes were on the allow list.
func printRemoved(p *terminal.Printer, prefixes []netip.Prefix, removed []console.Allowance) error {
	for _, prefix := range prefixes {
		if slices.ContainsFunc(removed, func(a console.Allowance) bool { return a.Prefix == prefix }) {
			p.Row("removed", prefix)
		} else {
			p.Row("not listed", prefix, "entries of the configuration are removed in the configuration")
		}
	}
	if len(removed) == 0 {
		return exitCode{code: exitNo}
	}
	return nil
}

func allowanceEnd(p *terminal.Printer, a console.Allowance) string {
	if a.Configured {
		return "by configuration"
	}
	return p.Lasting(a.Until)
}

// ordering makes a command that orders one thing without an answer worth
// printing.
func ordering(env *environment, command *cobra.Command, said func() string, order func(context.Context, *console.Client, []string) error) *cobra.Command {
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (map[string]string, error) {
		return map[string]string{"done": said()}, order(ctx, c, args)
	}, func(p *terminal.Printer, _ map[string]string) error {
		p.Row(said())
		return nil
	})
}

func newFlushCommand(env *environment) *cobra.Command {
	var (
		flags  orderFlags
		forget bool
	)
	command := &cobra.Command{
		Use:     "flush [--for D] [--forget] [--note TEXT]",
		Example: "  uppercut flush --note 'we block the wrong hosts'\n  uppercut flush --for 10m",
		Short:   "Remove all blocks and stop blocking until resume, or for a while",
		Long: `flush removes the table "inet uppercut" with every block in it, and nothing else.
A running appliance continues to judge but drops nothing until "uppercut resume"
or a restart; the list of blocks is kept and enforced again then, unless --forget
is given.
With --for it is a pause: blocking resumes automatically when the time is up, or
earlier with "uppercut resume"; a restart does not end the pause.
If no appliance is running, flush removes the table itself; the next start
restores the blocks, unless --forget is given.`,
		Args: noArgs,
	}
	command.Flags().BoolVar(&forget, "forget", false, "also empty the ledger, so that no block is restored")
	flags.registerNote(command)
	command.Flags().Var(&flags.lasts, "for", "`duration` of the pause, for example 10m, up to 30d (default until resume or a restart)")
	said := func() string {
		if flags.lasts == 0 {
			return "flushed; nothing is blocked until resume"
		}
		return fmt.Sprintf("paused; nothing is blocked for %s, or until resume", &flags.lasts)
	}
	ordering(env, command, said, func(ctx context.Context, c *console.Client, _ []string) error {
		return c.Flush(ctx, time.Duration(flags.lasts), forget, flags.note)
	})
	ask := command.RunE
	command.RunE = func(cmd *cobra.Command, args []string) error {
		err := ask(cmd, args)
		if errors.Is(err, console.ErrNotRunning) && flags.lasts != 0 {
			return fmt.Errorf("%w; a pause needs a running uppercut (flush without --for removes the table)", err)
		}
		if errors.Is(err, console.ErrNotRunning) {
			return env.flushStopped(cmd.Context(), flags.note, forget)
		}
		return err
	}
	return command
}

// flushStopped removes the table when no appliance runs.
func (e *environment) flushStopped(ctx context.Context, note string, forget bool) error {
	r := e.read()
	c, err := r.ToFlush(forget)
	if err != nil {
		return err
	}
	release, err := appliance.ClaimTable(slog.New(slog.DiscardHandler))
	if err != nil {
		return err // it would put the table back at once
	}
	defer release()
	author := "uid " + strconv.Itoa(os.Getuid())
	found, err := enforcer.FlushStopped(ctx, c.ForEnforcer(), enforcer.Options{StateDir: c.StateDir}, author, note, forget)
	if err != nil {
		return err
	}
	did := "there was no table"
	if found {
		did = "table removed"
	}
	next := "the next start restores the blocks in the ledger that have not expired; --forget empties it"
	if forget {
		next = "the ledger is empty: no block will be restored"
	}
	_, err = fmt.Fprintf(e.stdout, "%s; no appliance is running\n%s\n", did, next)
	return err
}

func newResumeCommand(env *environment) *cobra.Command {
	var flags orderFlags
	command := &cobra.Command{
		Use:     "resume [--note TEXT]",
		Example: "  uppercut resume",
		Short:   "Start blocking again after flush",
		Long: `resume ends a flush: when it returns, the list is in the kernel. Exit code 3 if
blocking was not suspended, and if nothing is dropped because the mode is observe.`,
		Args: noArgs,
	}
	flags.registerNote(command)
	return asking(env, command, func(ctx context.Context, c *console.Client, _ []string) (console.ResumeResult, error) {
		return c.Resume(ctx, flags.note)
	}, func(p *terminal.Printer, result console.ResumeResult) error {
		switch {
		case !result.Resumed:
			p.Row("blocking was not suspended")
		case result.NotEnforced == "":
			p.Row("blocking resumed")
		}
		p.WarnNotEnforced(result.NotEnforced)
		if !result.Resumed || result.NotEnforced != "" {
			return exitCode{code: exitNo}
		}
		return nil
	})
}

func newBreakersCommand(env *environment) *cobra.Command {
	command := asking(env, &cobra.Command{
		Use:     "breakers",
		Example: "  uppercut breakers",
		Short:   "List hosts whose reports are being ignored because the host itself seems at fault",
		Args:    noArgs,
	}, func(ctx context.Context, c *console.Client, _ []string) ([]console.Breaker, error) {
		return c.Breakers(ctx)
	}, func(p *terminal.Printer, list []console.Breaker) error {
		p.Styled(terminal.Heading, "HOST", "NAME IN LOG", "BREAKER", "SINCE", "OFFENCES IGNORED", "WHY")
		for _, b := range list {
			state := "closed (ok)"
			if b.Open {
				state = "OPEN"
			}
			p.Row(b.Host, b.Claimed, state, p.Ago(b.Since), b.SetAside, b.Reason)
		}
		return nil
	})
	var flags orderFlags
	closing := &cobra.Command{
		Use:     "close HOST",
		Example: "  uppercut breakers close mx1",
		Short:   "Count the reports of a host in full again",
		Args:    atLeastOne("a host"),
	}
	flags.registerNote(closing)
	command.AddCommand(ordering(env, closing, func() string { return "closed" }, func(ctx context.Context, c *console.Client, args []string) error {
		return c.CloseBreaker(ctx, strings.Join(args, " "), flags.note)
	}))
	return command
}

func newReloadCommand(env *environment) *cobra.Command {
	var flags orderFlags
	command := &cobra.Command{
		Use:     "reload [--note TEXT]",
		Example: "  uppercut reload",
		Short:   "Apply a changed configuration without a restart",
		Long: `reload makes the running appliance read its configuration, and the files named
in it, again. Mistakes, and changes that need a restart, are reported with their
keys; the old configuration then stays in force. SIGHUP and
"systemctl reload uppercut" do the same.`,
		Args: noArgs,
	}
	flags.registerNote(command)
	return asking(env, command, func(ctx context.Context, c *console.Client, _ []string) (struct{}, error) {
		return struct{}{}, c.Reload(ctx, flags.note)
	}, func(p *terminal.Printer, _ struct{}) error {
		p.Row("configuration reloaded")
		return nil
	})
}
