package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/detector/sendmail"
	"uppercut/enforcer"
	"uppercut/enforcer/guard"
	"uppercut/metrics"
	"uppercut/receiver"
)

// serveFlags are the flags of uppercut serve.
type serveFlags struct {
	webConfigFile string
	logLevel      slog.LevelVar
	logFormat     string
}

func newServeCommand(env *environment) *cobra.Command {
	var flags serveFlags
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the appliance: receive, judge, block",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return env.serve(cmd.Context(), &flags)
		},
	}
	f := command.Flags()
	f.StringVar(&flags.webConfigFile, "web.config.file", "", "`file` with users and TLS of the web listener (Prometheus exporter-toolkit)")
	f.TextVar(&flags.logLevel, "log.level", &flags.logLevel, "debug, info, warn or error")
	f.StringVar(&flags.logFormat, "log.format", "text", "text or json")
	return command
}

// logger writes to standard error.
func (f *serveFlags) logger(env *environment) (slog.Handler, error) {
	options := &slog.HandlerOptions{Level: &f.logLevel}
	switch f.logFormat {
	case "text":
		return slog.NewTextHandler(env.stderr, options), nil
	case "json":
		return slog.NewJSONHandler(env.stderr, options), nil
	}
	return nil, exitCode{exitUsage, fmt.Errorf("--log.format: %q is neither text nor json", f.logFormat)}
}
