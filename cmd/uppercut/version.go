package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/terminal"
	"uppercut/metrics"
)

// version is stamped by the release build; a plain build says what the module
// system knows.
var version = ""

func newVersionCommand(env *environment) *cobra.Command {
	var flags answerFlags
	command := &cobra.Command{
		Use:     "version",
		Example: "  uppercut version",
		Short:   "Print the version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			build := metrics.ReadBuild(version)
			if flags.json {
				return terminal.WriteJSON(env.stdout, map[string]string{
					"version": build.Version, "revision": build.Revision, "go": runtime.Version(),
					"os": runtime.GOOS, "arch": runtime.GOARCH,
				})
			}
			_, err := fmt.Fprintf(env.stdout, "uppercut %s (revision %s, %s, %s/%s)\n",
				build.Version, build.Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	flags.register(command)
	return command
}
