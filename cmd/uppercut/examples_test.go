package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command that people see has an example of itself, and each example is a
// command line that it takes. The lab runs them.
func TestEveryCommandHasAnExample(t *testing.T) {
	env := &environment{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	var commands int
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, child := range c.Commands() {
			if !child.Hidden {
				visit(child)
			}
		}
		if !c.HasParent() {
			return
		}
		commands++
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has no example of itself: %q", c.CommandPath(), c.Example)
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			takesExample(t, newRootCommand(env), line)
		}
	}
	visit(newRootCommand(env))
	if commands < 20 {
		t.Errorf("only %d commands were seen", commands)
	}
}

// takesExample parses a command line as the program would, up to running it.
func takesExample(t *testing.T, root *cobra.Command, line string) {
	t.Helper()
	_, arguments, found := strings.Cut(line, "uppercut ")
	if !found || !strings.HasPrefix(line, "  ") {
		t.Errorf("%q is no example", line)
		return
	}
	command, rest, err := root.Find(words(arguments))
	if err == nil {
		err = command.ParseFlags(rest)
	}
	if err == nil {
		err = command.ValidateArgs(command.Flags().Args())
	}
	if err != nil {
		t.Errorf("%q: %v", line, err)
	}
}

// words splits at blanks, but not inside single quotes.
func words(line string) (all []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}
