package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
)

// dial finds the running appliance by the state directory of the
// configuration. Mistakes elsewhere in it are warnings: the appliance runs on
// what it read before, and nobody must be kept from an undo by a typing error.
func (e *environment) dial() (*console.Client, error) {
	r := e.read()
	dir, err := r.StateDir()
	if err != nil {
		return nil, err
	}
	for _, mistake := range r.Mistakes() {
		fmt.Fprintf(e.stderr, "uppercut: warning: %v\n", mistake)
	}
	return console.Dial(filepath.Join(dir, console.SocketName))
}

// answerFlags are common to the commands that ask the running appliance.
type answerFlags struct {
	json bool
}

func (f *answerFlags) register(command *cobra.Command) {
	command.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// limitFlag is how many to list.
type limitFlag int

func limitVar(command *cobra.Command, limit *int, usual int, usage string) {
	*limit = usual
	command.Flags().Var((*limitFlag)(limit), "limit", usage)
}

func (l *limitFlag) String() string { return strconv.Itoa(int(*l)) }
func (l *limitFlag) Type() string   { return "int" }

func (l *limitFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a number of 0 or more", text)
	}
	*l = limitFlag(n)
	return nil
}

// asking makes a command that asks the running appliance one question and
// prints the answer, as JSON or by show. The exit code is the same for both:
// show decides it.
func asking[T any](env *environment, command *cobra.Command,
	ask func(context.Context, *console.Client, []string) (T, error),
	show func(*terminal.Printer, T) error,
) *cobra.Command {
	var flags answerFlags
	flags.register(command)
	command.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := env.dial()
		if err != nil {
			return err
		}
		defer client.Close()
		answer, err := ask(cmd.Context(), client, args)
		if errors.Is(err, console.ErrInvalid) {
			return exitCode{exitUsage, err}
		}
		if err != nil {
			return err
		}
		out := env.stdout
		if flags.json {
			out = io.Discard
			if err := terminal.WriteJSON(env.stdout, answer); err != nil {
				return err
			}
		}
		p := terminal.NewPrinter(out, env.environ)
		shown := show(p, answer)
		if why := client.Unsaved(); why != "" {
			p.Styled(terminal.Warning, "not saved", why)
		}
		return errors.Join(shown, p.Flush())
	}
	return command
}

// readPrefixes takes prefixes from the command line; "-" reads a list from
// standard input, one a line, # begins a comment.
func (e *environment) readPrefixes(args []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, arg := range args {
		if arg == "-" {
			more, err := prefixList(e.stdin)
			if err != nil {
				return nil, exitCode{exitUsage, err}
			}
			prefixes = append(prefixes, more...)
			continue
		}
		p, err := config.ParsePrefix(arg)
		if err != nil {
			return nil, exitCode{exitUsage, err}
		}
		prefixes = append(prefixes, p)
	}
	return withoutRepeats(prefixes), nil
}

// withoutRepeats keeps the first of equal prefixes, in order.
func withoutRepeats(prefixes []netip.Prefix) []netip.Prefix {
	seen := make(map[netip.Prefix]bool, len(prefixes))
	return slices.DeleteFunc(prefixes, func(p netip.Prefix) bool {
		before := seen[p]
		seen[p] = true
		return before
	})
}

func prefixList(r io.Reader) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := config.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("standard input:%d: %w", n, err)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, lines.Err()
}
