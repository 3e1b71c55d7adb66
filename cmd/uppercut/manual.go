package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newManualCommand writes the manual pages, for whoever builds a package: one
// of section 8 for each command and, of docs/configuration.md, one of section 5.
// SOURCE_DATE_EPOCH dates them.
func newManualCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIRECTORY CONFIGURATION.md",
		Short:  "Write the manual pages of all commands and of the configuration into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if err := writeCommandPages(root, args[0]); err != nil {
				return fmt.Errorf("write manual pages: %w", err)
			}
			text, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("write the manual page of the configuration: %w", err)
			}
			page := md2man.Render(append([]byte(configurationHead), bytes.TrimPrefix(text, []byte("# Configuration\n"))...))
			return os.WriteFile(filepath.Join(args[0], "uppercut.yaml.5"), page, 0o644)
		},
	}
}

const configurationHead = `uppercut.yaml 5 "" "uppercut" "File formats"
==============================================

# NAME

uppercut.yaml - configuration of uppercut

# DESCRIPTION
`

// artefacts are what cobra makes of defaults that say nothing, and of usage
// lines that name their flags already.
var artefacts = regexp.MustCompile(`\[=false\]|(?m)(\\fP)=(?:""|0s|)$| \[flags\]`)

// writeCommandPages writes a page for command and each below it, which people
// can type: not for help, nor for shells.
func writeCommandPages(command *cobra.Command, dir string) error {
	for _, c := range command.Commands() {
		c.Hidden = c.Hidden || c.Name() == "completion"
		if c.IsAvailableCommand() {
			if err := writeCommandPages(c, dir); err != nil {
				return err
			}
		}
	}
	name := strings.ReplaceAll(command.CommandPath(), " ", "-")
	header := doc.GenManHeader{Title: strings.ToUpper(name), Section: "8", Source: "uppercut", Manual: "System administration"}
	var page bytes.Buffer
	if err := doc.GenMan(command, &header, &page); err != nil {
		return err
	}
	text := artefacts.ReplaceAll(page.Bytes(), []byte("$1"))
	return os.WriteFile(filepath.Join(dir, name+".8"), text, 0o644)
}
