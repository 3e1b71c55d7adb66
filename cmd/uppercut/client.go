package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/console"
	"uppercut/enforcer"
)

// dial finds the running appliance by the state directory of the
// configuration. Mistakes elsewhere in it are warnings: the appliance runs on
// what it read before, and nobody must be kept from an undo by a typing error.
func (e *environment) dial() (*console.Client, error) {
	r := e.read()
	if !r.placed {
		return nil, fmt.Errorf("%w; --state-dir says where the appliance is", r.broken)
	}
	if err := r.doc.locate(r.of("state_dir")); err != nil {
		return nil, err
	}
	for _, mistake := range unjoin(r.err()) {
		fmt.Fprintf(e.stderr, "uppercut: warning: %v\n", mistake)
	}
	return console.Dial(filepath.Join(r.config.StateDir, console.SocketName))
}

// configToFlush is what flush needs without an appliance: the state directory,
// and what shapes the ledger if that is to be emptied.
func (e *environment) configToFlush(forget bool) (Config, error) {
	r := e.read()
	mistakes := r.of("state_dir")
	if forget {
		keys := configKeys(reflect.TypeFor[enforcer.Config](), "enforcer.")
		mistakes = append(mistakes, r.of(append(keys, "detector.ipv6_prefix")...)...)
	}
	if forget && len(mistakes) == 0 { // what is wrong elsewhere has kept others from a look
		for _, mistake := range unjoin(r.config.enforcerConfig().Validate()) {
			mistakes = append(mistakes, fmt.Errorf("enforcer.%w", mistake))
		}
	}
	err := r.doc.locate(mistakes)
	if forget {
		err = errors.Join(r.broken, err)
	}
	return r.config, err
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
		return fmt.Errorf("%q is no number from 0 up", text)
	}
	*l = limitFlag(n)
	return nil
}

// asking makes a command that asks the running appliance one question and
// prints the answer, as JSON or by show. The exit code is the same for both:
// show decides it.
func asking[T any](env *environment, command *cobra.Command,
	ask func(context.Context, *console.Client, []string) (T, error),
	show func(*printer, T) error,
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
		p := newPrinter(env)
		if flags.json {
			p.out = io.Discard
			if err := printJSON(env.stdout, answer); err != nil {
				return err
			}
		}
		shown := show(p, answer)
		if why := client.Unsaved(); why != "" {
			p.styled(warning, "not saved", why)
		}
		return errors.Join(shown, p.Flush())
	}
	return command
}

// printJSON writes v, a list without entries as []. For a terminal it also
// escapes what must not reach a screen; to a program it is the same.
func printJSON[T any](w io.Writer, v T) error {
	fillLists(reflect.ValueOf(&v).Elem())
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // people read addresses in < and >
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	out := text.Bytes()
	if isTerminal(w) {
		out = visibleJSON(text.String())
	}
	_, err := w.Write(out)
	return err
}

// fillLists makes empty lists of the nil ones in v, which can be set: whoever
// reads the JSON goes through a list and not through null.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() {
				fillLists(field)
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	}
}

// visibleJSON escapes in JSON what console.Visible replaces. The encoder has
// escaped the controls below 0x20: those that are left are its own lines.
func visibleJSON(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if one := string(r); r < 0x20 || console.Visible(one) == one {
			out = append(out, one...)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// printer writes aligned columns for people. Text that came from outside goes
// through console.Visible: a log line must not move the cursor.
type printer struct {
	out     io.Writer
	colour  bool
	now     time.Time
	columns *tabwriter.Writer
	aligned bytes.Buffer // what columns writes
	styles  []style      // one for each line
}

func newPrinter(env *environment) *printer {
	p := &printer{out: env.stdout, colour: wantsColour(env.stdout, env.environ), now: time.Now()}
	p.columns = tabwriter.NewWriter(&p.aligned, 0, 8, 2, ' ', 0)
	return p
}

// row writes one line of columns.
func (p *printer) row(columns ...any) { p.styled(plain, columns...) }

// styled writes one line of columns that looks so on a terminal.
func (p *printer) styled(s style, columns ...any) {
	for i, column := range columns {
		if i > 0 {
			fmt.Fprint(p.columns, "\t")
		}
		fmt.Fprint(p.columns, console.Visible(fmt.Sprint(column)))
	}
	fmt.Fprintln(p.columns)
	p.styles = append(p.styles, s)
}

// warnNotEnforced says why nothing is dropped, where it is not.
func (p *printer) warnNotEnforced(cause string) {
	if cause != "" {
		p.styled(warning, console.NotEnforcedWords(cause))
	}
}

// Flush writes what has been collected: only now is known how wide columns are.
func (p *printer) Flush() error {
	if err := p.columns.Flush(); err != nil {
		return err
	}
	number := 0
	for line := range strings.Lines(p.aligned.String()) {
		text := strings.TrimRight(line, " \n")
		if p.colour {
			text = p.styles[number].paint(text)
		}
		if _, err := fmt.Fprintln(p.out, text); err != nil {
			return err
		}
		number++
	}
	return nil
}

// left says how long it is until t.
func (p *printer) left(t time.Time) string {
	if t.IsZero() {
		return "forever"
	}
	return roundDuration(t.Sub(p.now))
}

// lasting says how long from now something lasts.
func (p *printer) lasting(until time.Time) string {
	if until.IsZero() {
		return "forever"
	}
	return "for " + p.left(until)
}

// ago says how long t is past.
func (p *printer) ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return roundDuration(p.now.Sub(t)) + " ago"
}

// roundDuration writes a duration for people; below 0 is 0s.
func roundDuration(d time.Duration) string { return console.RoundDuration(max(0, d)) }

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
		p, err := parsePrefix(arg)
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
		p, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("standard input:%d: %w", n, err)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, lines.Err()
}
