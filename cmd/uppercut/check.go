package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/appliance"
	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/terminal"
)

func newCheckCommand(env *environment) *cobra.Command {
	var (
		flags answerFlags
		quiet bool
	)
	command := &cobra.Command{
		Use:     "check",
		Example: "  uppercut check --config new.yaml\n  uppercut check --quiet",
		Short:   "Validate the configuration and print the effective settings",
		Long: `check reads the configuration file, applies the environment, validates the
result, reads the files named in it (allow lists, certificates, secrets, the
users of the page) and prints all settings in force, including the defaults, as
YAML that can be used as a configuration file. Warnings and the verdict go to
standard error. If serve would refuse the configuration, the exit code is 1 and
each mistake is reported on a line with file, line, key and reason. Whether a file
can be read is checked for the user who runs check.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			r := env.read()
			err := r.Err()
			if err == nil {
				err = r.CheckFiles()
			}
			if err != nil {
				return notValid(env, r.Mistakes(), quiet)
			}
			for _, warning := range r.Config.Warnings() {
				fmt.Fprintf(env.stderr, "uppercut: warning: %s\n", warning)
			}
			if !quiet {
				err = printSettings(env.stdout, r.Config, flags.json)
				appliance.MemoryBudget(&r.Config).Print(env.stderr)
				fmt.Fprintln(env.stderr, "uppercut: configuration is valid")
			}
			return err
		},
	}
	flags.register(command)
	command.Flags().BoolVar(&quiet, "quiet", false, "print only mistakes and warnings")
	return command
}

// notValid prints every mistake and, unless it is to be quiet, the verdict.
func notValid(env *environment, mistakes []error, quiet bool) error {
	err := errors.Join(mistakes...)
	if quiet {
		return err
	}
	fmt.Fprintf(env.stderr, "uppercut: %v\n", err)
	word := "mistakes"
	if len(mistakes) == 1 {
		word = "mistake"
	}
	fmt.Fprintf(env.stderr, "uppercut: configuration is not valid: %d %s\n", len(mistakes), word)
	return exitCode{code: exitError}
}

// printSettings writes c as YAML or JSON.
func printSettings(w io.Writer, c config.Config, asJSON bool) error {
	if !asJSON {
		return c.Print(w)
	}
	settings, err := c.Settings()
	if err != nil {
		return err
	}
	return terminal.WriteJSON(w, settings)
}
