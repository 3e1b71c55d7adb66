package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/config"
	"uppercut/metrics"
)

// Exit codes, part of the interface.
const (
	exitOK    = 0
	exitError = 1 // it could not be done; the reason is on standard error
	exitUsage = 2 // the command line is wrong
	exitNo    = 3 // the question was answered with no: not blocked, not in force, not healthy
)

// environment is what the process was given. Commands use nothing else, so that
// tests start the program inside their own process.
type environment struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string // --config
	stateDir       string // --state-dir
	webConfigFile  string // --web.config.file
}

// config loads the configuration that the command line and the environment
// name.
func (e *environment) config() (config.Config, error) {
	return e.source().Load()
}

// read is config for those who need only a part, or more.
func (e *environment) read() config.Reading {
	return e.source().Read()
}

// source is where the configuration comes from.
func (e *environment) source() config.Source {
	return config.Source{File: e.configFile, Flags: e.settings(), Environ: e.environ}
}

// settings are those that flags make; they win over file and environment.
func (e *environment) settings() map[string]string {
	set := make(map[string]string)
	if e.stateDir != "" {
		set["state_dir"] = e.stateDir
		if absolute, err := filepath.Abs(e.stateDir); err == nil {
			set["state_dir"] = absolute
		}
	}
	if e.webConfigFile != "" {
		set["web.config_file"] = e.webConfigFile
	}
	return set
}

// exitCode is an error that asks for a particular exit code. Without an error
// inside, the command has said everything itself.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e exitCode) Unwrap() error { return e.err }

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := &environment{environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCommand(env)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitError
	if wanted, ok := errors.AsType[exitCode](err); ok {
		code = wanted.code
		err = wanted.err
	}
	if err != nil {
		fmt.Fprintf(stderr, "uppercut: %v\n", err)
	}
	return code
}

func newRootCommand(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "uppercut",
		Short: "Receive the logs of sendmail hosts, score their clients, drop the worst at the gateway",
		Long: `uppercut receives the logs of sendmail hosts by syslog, scores the clients that
they reject in sliding windows across all hosts, and drops the worst at the
gateway with nftables.

Exit codes: 0 success, 1 failure, 2 wrong command line,
3 the answer is no (not blocked, not dropped, refused, not listed, not healthy).
They are the same with --json.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.PersistentFlags().StringVar(&env.configFile, "config", "", "configuration `file` (default "+config.DefaultFile+" if it exists)")
	root.PersistentFlags().StringVar(&env.stateDir, "state-dir", "", "`directory` of ledger and control socket (default from the configuration)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return exitCode{exitUsage, err}
	})
	root.AddCommand(
		newServeCommand(env), newReplayCommand(env), newCheckCommand(env),
		newStatusCommand(env), newBlocksCommand(env), newWhyCommand(env), newReportCommand(env), newTopCommand(env), newSendersCommand(env), newAuditCommand(env),
		newBlockCommand(env), newUnblockCommand(env), newAllowCommand(env), newBreakersCommand(env),
		newFlushCommand(env), newResumeCommand(env), newReloadCommand(env), newFirewallCommand(env), newLedgerCommand(env),
		newHealthCommand(env), newSenderConfigCommand(env), newWebUserCommand(env), newCertificatesCommand(env), newVersionCommand(env), newManualCommand(),
	)
	root.Version = metrics.ReadBuild(version).Version
	root.SetVersionTemplate("uppercut {{.Version}}\n")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Args = helpTopic
			command.Example = "  uppercut help blocks"
		case "completion":
			asksForCommand(command)
			command.Example = "  uppercut completion bash"
			for _, shell := range command.Commands() {
				shell.Args, shell.Example = noArgs, "  "+shell.CommandPath()
			}
		}
	}
	return root
}

// asksForCommand makes a usage error of a command that does nothing without one
// of its own commands.
func asksForCommand(command *cobra.Command) {
	command.Args = noArgs
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		return exitCode{exitUsage, fmt.Errorf("%s needs one of %s; see uppercut %[1]s --help", cmd.Name(), strings.Join(names, ", "))}
	}
}

// helpTopic refuses what is no command as a usage error.
func helpTopic(cmd *cobra.Command, args []string) error {
	command, rest, err := cmd.Root().Find(args)
	if err != nil {
		return exitCode{exitUsage, err}
	}
	return noArgs(command, rest)
}

// noArgs refuses arguments as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return exitCode{exitUsage, fmt.Errorf("%s takes no argument %q; see uppercut --help", cmd.Name(), args[0])}
	}
	return exitCode{exitUsage, fmt.Errorf("%s has no command %q%s; see uppercut --help", cmd.Name(), args[0], meant(cmd, args[0]))}
}

// meant asks whether a command with a name like typed was meant.
func meant(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2 // letters
	names := cmd.SuggestionsFor(typed)
	if len(names) == 0 {
		return ""
	}
	return ", did you mean " + strings.Join(names, " or ") + "?"
}

// excluding refuses two of these flags at once.
func excluding(cmd *cobra.Command, flags ...string) error {
	flags = slices.DeleteFunc(flags, func(name string) bool { return !cmd.Flags().Changed(name) })
	if len(flags) < 2 {
		return nil
	}
	return exitCode{exitUsage, fmt.Errorf("--%s and --%s cannot be used together", flags[0], flags[1])}
}

// completes offers words after a flag.
func completes(cmd *cobra.Command, flag string, words func() []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words(), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}

// exactlyOne asks for one argument, of this kind.
func exactlyOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return exitCode{exitUsage, fmt.Errorf("%s needs one %s, not %d; see uppercut %[1]s --help", cmd.Name(), what, len(args))}
	}
}

// atMostOne refuses a second argument.
func atMostOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < 2 {
			return nil
		}
		return exitCode{exitUsage, fmt.Errorf("%s takes one %s at most, not %d; see uppercut %[1]s --help", cmd.Name(), what, len(args))}
	}
}

// atMostOneOf takes none or one of these words.
func atMostOneOf(words ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && !slices.Contains(words, args[0]) {
			return exitCode{exitUsage, fmt.Errorf("%s: %q is not one of %s", cmd.Name(), args[0], strings.Join(words, ", "))}
		}
		return atMostOne(strings.Join(words, ", "))(cmd, args)
	}
}

// atLeastOne asks for one argument or more.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return exitCode{exitUsage, fmt.Errorf("%s needs %s", cmd.Name(), what)}
	}
}
