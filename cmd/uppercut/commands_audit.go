package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
)

func newAuditCommand(env *environment) *cobra.Command {
	var search console.AuditSearch
	command := &cobra.Command{
		Use:   "audit [flags] [PREFIX]",
		Short: "List manual changes and who made them, newest first",
		Long: `audit lists the actions of operators by command, page or control API: blocks,
unblocks, changes of the allow list, flushes, repairs, reloads and closed
breakers. With PREFIX (an address, a network, or the beginning of an address such
as 203.0.) only actions on it.`,
		Example: "  uppercut audit --action unblock 203.0.113.9",
		Args:    atMostOne("PREFIX"),
	}
	f := command.Flags()
	f.StringVar(&search.Action, "action", "", "only this `action`, such as unblock")
	completes(command, "action", console.Actions)
	command.PreRunE = func(*cobra.Command, []string) error {
		if search.Action == "" || slices.Contains(console.Actions(), search.Action) {
			return nil
		}
		return exitCode{exitUsage, fmt.Errorf("--action: %q is not one of %s", search.Action, strings.Join(console.Actions(), ", "))}
	}
	f.StringVar(&search.Author, "author", "", "only actions of this `user`")
	limitVar(command, &search.Limit, 100, "how many to list; 0 lists all")
	return asking(env, command, func(ctx context.Context, c *console.Client, args []string) (console.AuditPage, error) {
		search.Text = strings.Join(args, "")
		return allEntries(ctx, c, search)
	}, printAudit)
}

// allEntries asks until Limit entries are there, for all of them if it is 0.
func allEntries(ctx context.Context, c *console.Client, s console.AuditSearch) (console.AuditPage, error) {
	const page = 1000
	wanted := s.Limit
	all := console.AuditPage{Entries: []console.AuditEntry{}}
	for {
		s.Limit = page
		if wanted > 0 {
			s.Limit = min(page, wanted-len(all.Entries))
		}
		next, err := c.Audit(ctx, s)
		if err != nil {
			return all, err
		}
		all.Entries = append(all.Entries, next.Entries...)
		all.Next, s.After = next.Next, next.Next
		if next.Next == "" || len(all.Entries) == wanted {
			return all, nil
		}
	}
}

func printAudit(p *terminal.Printer, page console.AuditPage) error {
	if len(page.Entries) == 0 {
		p.Row("no matching entries")
		return nil
	}
	p.Styled(terminal.Heading, "WHEN", "WHO", "ACTION", "ABOUT", "NOTE")
	for _, e := range page.Entries {
		p.Row(e.Time.Local().Format(time.DateTime), e.Author, e.Action, aboutWords(e), e.Note)
	}
	if page.Next != "" {
		p.Row("there are more; --limit 0 lists all")
	}
	return nil
}

// maxAbout is how many prefixes of an entry are named on a line.
const maxAbout = 3

// aboutWords is what an entry is about.
func aboutWords(e console.AuditEntry) string {
	var words []string
	for _, p := range e.Prefixes[:min(len(e.Prefixes), maxAbout)] {
		words = append(words, p.String())
	}
	if more := e.Count - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	if !e.Until.IsZero() {
		words = append(words, "for "+console.RoundDuration(e.Until.Sub(e.Time)))
	}
	if e.Host != "" {
		words = append(words, e.Host)
	}
	if result := e.Result(); result != "" {
		words = append(words, "("+result+")")
	}
	return strings.Join(words, " ")
}
