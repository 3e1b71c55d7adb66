package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/console"
	"uppercut/deploy/certs"
)

const (
	authorityLasts   = 10 * 365 * 24 * time.Hour
	certificateLasts = 825 * 24 * time.Hour
)

func newCertificatesCommand(env *environment) *cobra.Command {
	var dir string
	lasts := durationFlag(certificateLasts)
	command := &cobra.Command{
		Use:   "certificates [--dir DIRECTORY] [--for D] NAME...",
		Short: "Create a certificate authority, and certificates for the gateway and the mail hosts",
		Long: `certificates creates, in a directory, a certificate authority if there is none
(ca.pem and ca.key; ca.key signs all certificates: keep it away from mail hosts and
gateway), and for each NAME that has none yet a certificate and its key (NAME.pem,
NAME.key), for clients and servers. The name of the gateway is the one by which
mail hosts reach it (sender-config --collector), that of a mail host is the one in
receiver.hosts. Existing files are kept; to renew a certificate, move it away first.`,
		Example: "  uppercut certificates --dir /root/fleet log.example.org mx1.example.org mx2.example.org",
		Args:    atLeastOne("the name of the gateway or of a mail host"),
		RunE: func(_ *cobra.Command, names []string) error {
			for _, name := range names {
				if !isHostName(name) {
					return exitCode{exitUsage, fmt.Errorf("%q is not the name of a host, such as mx1.example.org", name)}
				}
			}
			return env.makeCertificates(dir, time.Duration(lasts), names)
		},
	}
	command.Flags().StringVar(&dir, "dir", ".", "`directory` of authority and certificates; it is made if it does not exist")
	command.Flags().Var(&lasts, "for", "`duration` for which certificates are valid, for example 825d")
	return command
}

// makeCertificates makes what is missing and says what to do with it.
func (e *environment) makeCertificates(dir string, lasts time.Duration, names []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	now := time.Now()
	authority, err := e.authority(dir, now)
	if err != nil {
		return err
	}
	until := now.Add(lasts)
	if end := authority.Certificate.NotAfter; until.After(end) {
		until = end
	}
	for _, name := range names {
		cert, key := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		if exists(cert) || exists(key) {
			fmt.Fprintf(e.stdout, "%s already exists and is kept\n", cert)
			continue
		}
		if err := authority.Issue(cert, key, until, name); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "%s: valid for %s\n", cert, console.RoundDuration(until.Sub(now)))
	}
	return nil
}

// authority is the one of the directory, or a new one.
func (e *environment) authority(dir string, now time.Time) (*certs.Authority, error) {
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	if exists(cert) != exists(key) {
		return nil, fmt.Errorf("only one of %s and %s exists: restore the other, or move it away", cert, key)
	}
	if exists(cert) {
		return certs.LoadAuthority(cert, key)
	}
	authority, err := certs.NewAuthorityUntil("uppercut", now.Add(authorityLasts))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(e.stdout, "%s: new certificate authority; anyone who has %s can impersonate every host\n", cert, key)
	return authority, errors.Join(authority.WriteKey(key), authority.WriteCertificate(cert))
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// isHostName refuses addresses, too: rsyslog compares names.
func isHostName(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && len(name) <= 253 && name != "ca" && hostName.MatchString(name)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
