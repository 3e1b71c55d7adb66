package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is stamped by the release build; a plain build says what the module
// system knows.
var version = ""

// buildVersion returns the version and the revision of this binary.
func buildVersion() (release, revision string) {
	release, revision = version, "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release, revision
	}
	if release == "" {
		release = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = setting.Value
		}
	}
	return release, revision
}

func newVersionCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			release, revision := buildVersion()
			_, err := fmt.Fprintf(env.stdout, "uppercut %s (revision %s, %s, %s/%s)\n",
				release, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
