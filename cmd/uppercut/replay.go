package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"uppercut/detector"
)

// judgement is what a replay needs of a configuration.
type judgement struct {
	Detector detector.Config
	// Exempt says why a prefix is never blocked, "" if it may be; nil exempts
	// nobody.
	Exempt func(netip.Prefix) (cause string)
}

// loadJudgement reads a configuration file; "" means the one that the command
// line or the default names.
type loadJudgement func(path string) (judgement, error)

// replayFlags are the flags of uppercut replay.
type replayFlags struct {
	events  bool
	format  string
	compare string
	zone    string
	top     int
}

func newReplayCommand(load loadJudgement) *cobra.Command {
	var flags replayFlags
	command := &cobra.Command{
		Use:   "replay [flags] FILE... | -",
		Short: "Say who would have been blocked, from old logs",
		Long: `Replay puts old mail logs through the same parser, session memory and windows
as the running appliance, on the time in the log. It touches no firewall and
needs no root.

Files may be plain or packed with gzip, zstd or bzip2, and several are merged in
order of time; - is standard input. Traditional, ISO, "YYYY-MM-DD HH:MM:SS" and
RFC 5424 lines are told apart by themselves.`,
		Example: `  uppercut replay /var/log/maillog*
  uppercut replay --format json maillog.1.gz | jq '.blocks[].prefix'
  grep 198.51.100.7 maillog | uppercut replay --events -
  uppercut replay --compare stricter.yaml maillog`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, paths []string) error {
			return replay(cmd, load, flags, paths)
		},
	}
	f := command.Flags()
	f.BoolVar(&flags.events, "events", false, "print a JSON object for each offence instead of a report")
	f.StringVar(&flags.format, "format", "text", "text or json")
	f.StringVar(&flags.compare, "compare", "", "say what configuration `FILE` would have done otherwise")
	f.StringVar(&flags.zone, "zone", "Local", "time zone of lines that do not name theirs, such as Europe/Berlin")
	f.IntVar(&flags.top, "top", 10, "how many sources and blocks a text report lists; 0 lists all")
	return command
}

func replay(cmd *cobra.Command, load loadJudgement, flags replayFlags, paths []string) error {
	if flags.format != "text" && flags.format != "json" {
		return fmt.Errorf("--format: %q is neither text nor json", flags.format)
	}
	zone, err := time.LoadLocation(flags.zone)
	if err != nil {
		return fmt.Errorf("--zone: %w", err)
	}
	rules, err := load("")
	if err != nil {
		return err
	}
	in := &input{paths: paths, stdin: cmd.InOrStdin(), zone: zone}
	if flags.events {
		return replayEvents(cmd.Context(), in, rules, cmd.OutOrStdout())
	}
	return replayReport(cmd, in, rules, flags)
}

// replayReport judges every line and prints what came of it. What could be read
// is reported even when a file could not be read to its end.
func replayReport(cmd *cobra.Command, in *input, rules judgement, flags replayFlags) error {
	r := newReport()
	judge, err := newJudge(rules, r)
	if err != nil {
		return err
	}
	stop := showProgress(cmd.ErrOrStderr(), &in.progress)
	begin := time.Now()
	readErr := in.each(cmd.Context(), rules.Detector, judge.observe)
	judge.finish()
	r.finish(in.totals(), time.Since(begin))
	stop()
	if flags.format == "json" {
		err = r.writeJSON(cmd.OutOrStdout())
	} else {
		err = r.writeText(cmd.OutOrStdout(), flags.top, in.zone)
	}
	return errors.Join(readErr, err)
}

