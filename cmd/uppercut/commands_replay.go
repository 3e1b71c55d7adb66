package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/replay"
)

// replayFlags are the flags of uppercut replay.
type replayFlags struct {
	events  bool
	explain bool
	format  string
	compare string
	zone    string
	top     int
}

func newReplayCommand(env *environment) *cobra.Command {
	var flags replayFlags
	command := &cobra.Command{
		Use:   "replay [flags] FILE... | -",
		Short: "Show who would have been blocked, from old logs",
		Long: `Replay puts old mail logs through the same parser, session memory and windows
as the running appliance, using the times in the log. It does not touch the
firewall and does not need root.

Files may be plain or compressed with gzip, zstd or bzip2; several files are merged
by time; - is standard input. The formats of syslog daemons, journalctl and
container runtimes are recognised automatically.`,
		Example: `  uppercut replay /var/log/mail.log /var/log/mail.log.1.gz
  uppercut replay --format json /var/log/mail.log
  grep 6AN8JH66002409 /var/log/mail.log | uppercut replay --explain -
  uppercut replay --compare new.yaml /var/log/mail.log`,
		Args: atLeastOne("a FILE, or - for standard input"),
		RunE: func(cmd *cobra.Command, paths []string) error {
			return env.replay(cmd.Context(), &flags, paths)
		},
	}
	f := command.Flags()
	f.BoolVar(&flags.events, "events", false, "print a JSON object for each offence instead of a report")
	f.BoolVar(&flags.explain, "explain", false, "show for each line which rule of the grammar accepted or rejected its address")
	f.StringVar(&flags.format, "format", "text", "text or json")
	f.StringVar(&flags.compare, "compare", "", "show what configuration `FILE` would have done differently")
	f.StringVar(&flags.zone, "zone", "Local", "time zone of lines without one, such as Europe/Berlin")
	f.IntVar(&flags.top, "top", 10, "how many sources and blocks a text report lists; 0 lists all")
	command.PreRunE = func(cmd *cobra.Command, _ []string) error {
		return excluding(cmd, "events", "explain", "compare")
	}
	return command
}

func (env *environment) replay(ctx context.Context, flags *replayFlags, paths []string) error {
	if flags.format != "text" && flags.format != "json" {
		return exitCode{exitUsage, fmt.Errorf("--format: %q is neither text nor json", flags.format)}
	}
	zone, err := time.LoadLocation(flags.zone)
	if err != nil {
		return exitCode{exitUsage, fmt.Errorf("--zone: %w", err)}
	}
	c, err := env.config()
	if err != nil {
		return err
	}
	o := replay.Options{
		Config: c, Paths: paths, Stdin: env.stdin, Zone: zone,
		JSON: flags.format == "json", Top: flags.top, Stdout: env.stdout, Stderr: env.stderr,
	}
	switch {
	case flags.events:
		return replay.Events(ctx, o)
	case flags.explain:
		return replay.Explain(ctx, o)
	case flags.compare != "":
		return env.replayCompare(ctx, flags, o)
	}
	return replay.Report(ctx, o)
}

// Compare replays by the configuration in force and by another.
func (env *environment) replayCompare(ctx context.Context, flags *replayFlags, o replay.Options) error {
	if err := replay.NeedFiles(o.Paths); err != nil {
		return exitCode{exitUsage, fmt.Errorf("--compare: %w", err)}
	}
	source := env.source()
	name := cmp.Or(source.File, "the configuration in force")
	source.File = flags.compare
	other, err := source.Load()
	if err != nil {
		return err
	}
	return replay.Compare(ctx, o, name, other, flags.compare)
}
