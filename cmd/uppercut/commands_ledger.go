package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"uppercut/enforcer"
	"uppercut/enforcer/ledger"
	"uppercut/enforcer/statedir"
)

// newLedgerCommand is for a ledger that no uppercut has open: a running one's is
// its own.
func newLedgerCommand(env *environment) *cobra.Command {
	command := &cobra.Command{
		Use:     "ledger",
		Example: "  uppercut ledger check",
		Short:   "Check, export or import the ledger while uppercut is stopped",
		Long: `ledger works on the file that holds the blocks, their history, the manual entries
of the allow list and the audit log: ledger.db in state_dir, or a copy of it.`,
	}
	asksForCommand(command)
	command.AddCommand(newLedgerCheckCommand(env), newLedgerExportCommand(env), newLedgerImportCommand(env))
	return command
}

func newLedgerCheckCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a ledger for damage",
		Long: `check reads every record and verifies its checksum, and the number of records.
It changes nothing. Exit code 3 if the ledger is damaged.`,
		Example: "  uppercut ledger check",
		Args:    atMostOne("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := env.openLedger(args)
			if err != nil {
				return ledgerError(err)
			}
			defer l.Close()
			s, err := l.Check()
			if err != nil {
				return ledgerError(err)
			}
			fmt.Fprintf(env.stdout, "sound: %s\n", summaryWords(s))
			return nil
		},
	}
}

func newLedgerExportCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write a ledger to standard output as JSON lines",
		Long: `export writes a line for each block in force, each block of the history, each
entry of the allow list and each entry of the audit log. The first line holds the
version, the last the number of each kind, so that import notices missing lines.`,
		Example: "  uppercut ledger export >ledger.jsonl",
		Args:    atMostOne("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := env.openLedger(args)
			if err != nil {
				return ledgerError(err)
			}
			defer l.Close()
			return ledgerError(l.Export(env.stdout))
		},
	}
}

func newLedgerImportCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE | -",
		Short: "Create a ledger from an export",
		Long: `import creates ledger.db in state_dir, where there must be none, from a file that
export wrote or from standard input (-): completely or not at all. The user that
runs uppercut must be able to write the new file.`,
		Example: "  uppercut ledger import ledger.jsonl",
		Args:    cobra.MatchAll(atLeastOne("the file that export wrote, or - for standard input"), atMostOne("FILE")),
		RunE: func(_ *cobra.Command, args []string) error {
			in := env.stdin
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			return env.importLedger(in)
		},
	}
}

func (env *environment) importLedger(in io.Reader) error {
	path, err := env.ledgerPath(nil)
	if err != nil {
		return err
	}
	if err := statedir.Prepare(filepath.Dir(path)); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	s, err := ledger.Import(path, in)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	fmt.Fprintf(env.stdout, "imported into %s: %s\n", path, summaryWords(s))
	return nil
}

// ledgerPath is the file given, or the configured one.
func (env *environment) ledgerPath(args []string) (string, error) {
	r := env.read()
	if err := r.Err(); err != nil && len(args) == 0 {
		return "", err
	}
	return cmp.Or(strings.Join(args, ""), filepath.Join(r.Config.StateDir, enforcer.LedgerFile)), nil
}

func (env *environment) openLedger(args []string) (*ledger.Ledger, error) {
	path, err := env.ledgerPath(args)
	if err != nil {
		return nil, err
	}
	return ledger.OpenToRead(path)
}

// ledgerError says what can be done about err; damage is an answer, and not a
// failure to look.
func ledgerError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrLocked):
		return fmt.Errorf("%w: stop uppercut, or name a copy of the file", err)
	case errors.Is(err, ledger.ErrOlder):
		return fmt.Errorf("%w: the next start upgrades it; older versions have no checksums", err)
	case errors.Is(err, ledger.ErrDamaged):
		return exitCode{exitNo, err}
	}
	return err
}

func summaryWords(s ledger.Summary) string {
	return fmt.Sprintf("%d blocks in force, %d in the history, %d allowed manually, %d actions in the audit log", s.Blocks, s.History, s.Allowed, s.Audit)
}
