package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/appliance"
	"uppercut/metrics"
)

// serveFlags are the flags of uppercut serve.
type serveFlags struct {
	logLevel  slog.LevelVar
	logFormat string
}

func newServeCommand(env *environment) *cobra.Command {
	var flags serveFlags
	command := &cobra.Command{
		Use:     "serve",
		Example: "  uppercut serve --config /etc/uppercut/uppercut.yaml",
		Short:   "Run uppercut: receive logs, judge clients, block",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.logFormat != "text" && flags.logFormat != "json" {
				return exitCode{exitUsage, fmt.Errorf("--log.format: %q is neither text nor json", flags.logFormat)}
			}
			a, err := appliance.New(cmd.Context(), appliance.Options{
				Source: env.source(), Build: metrics.ReadBuild(version), Stdout: env.stdout, Stderr: env.stderr,
				LogLevel: &flags.logLevel, LogJSON: flags.logFormat == "json",
			})
			if err != nil {
				return err
			}
			return a.Run(cmd.Context())
		},
	}
	f := command.Flags()
	f.StringVar(&env.webConfigFile, "web.config.file", "", "`file` with users and TLS of the web listener (Prometheus exporter-toolkit)")
	f.TextVar(&flags.logLevel, "log.level", &flags.logLevel, "debug, info, warn or error")
	f.StringVar(&flags.logFormat, "log.format", "text", "text or json")
	return command
}
