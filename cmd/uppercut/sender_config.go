package main

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"uppercut/cmd/uppercut/config"
	"uppercut/deploy/senders"
)

// standInCollector stands in the file where nothing says how the mail host
// reaches us.
const standInCollector = "uppercut.example.org"

func newSenderConfigCommand(env *environment) *cobra.Command {
	var o senders.Options
	journald := false
	command := &cobra.Command{
		Use:   "sender-config --host NAME --transport T [--collector NAME] [--syslog-ng] | --journald",
		Short: "Print the configuration with which a mail host forwards its log here",
		Long: `sender-config prints the configuration file for rsyslog (or syslog-ng) on a mail
host; its first lines say where it belongs. Address and port are those on which
this configuration listens. If it does not say, the file contains the usual port
and a name to replace, with a warning on standard error.

With --journald it prints the file that lifts journald's rate limit, which drops
lines of a host under attack. A host that has journald needs both.`,
		Example: `  uppercut sender-config --host mx1.example.org --transport tls --collector log.example.org
  uppercut sender-config --journald`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if journald {
				_, err := io.WriteString(env.stdout, senders.Journald())
				return err
			}
			c, err := env.config()
			if err != nil {
				return err
			}
			o, doubts := completeSender(c, o)
			text, err := senders.Config(o)
			if err != nil {
				return exitCode{exitUsage, err}
			}
			for _, doubt := range doubts {
				fmt.Fprintf(env.stderr, "uppercut: warning: %s\n", doubt)
			}
			_, err = io.WriteString(env.stdout, text)
			return err
		},
	}
	f := command.Flags()
	f.StringVar(&o.Host, "host", "", "`name` of the mail host, and of its certificate (required)")
	f.StringVar(&o.Collector, "collector", "", "`name` or address under which the mail host reaches uppercut (default where this configuration listens)")
	f.StringVar(&o.Port, "port", "", "`port` if it is not the one of this configuration")
	f.StringVar(&o.Transport, "transport", "tcp", strings.Join(senders.Transports(), ", "))
	completes(command, "transport", senders.Transports)
	f.BoolVar(&o.SyslogNG, "syslog-ng", false, "for syslog-ng instead of rsyslog")
	f.BoolVar(&o.WithoutImpstats, "without-impstats", false, "do not load rsyslog's impstats: the mail host loads it already")
	f.BoolVar(&journald, "journald", false, "print the file for journald instead")
	command.MarkFlagsMutuallyExclusive("journald", "host")
	return command
}

// completeSender fills in what c says of the transport, and says what it had to
// make up or what the gateway still lacks.
func completeSender(c config.Config, o senders.Options) (senders.Options, []string) {
	key, addresses := listenersOf(c, o.Transport)
	if key == "" {
		o.Collector = cmp.Or(o.Collector, standInCollector)
		return o, nil // senders.Config refuses the transport
	}
	var doubts []string
	usual := senders.UsualPort(o.Transport)
	host, port := reachable(addresses)
	switch {
	case len(addresses) == 0:
		doubts = append(doubts, fmt.Sprintf("this configuration does not listen for %s: set %s: [\"0.0.0.0:%s\"] on the gateway%s",
			o.Transport, key, cmp.Or(o.Port, usual), certificateWords(o.Transport)))
	case host == "localhost":
		doubts = append(doubts, fmt.Sprintf("this configuration listens for %s on %s only, which no other host reaches: set %s on the gateway",
			o.Transport, strings.Join(addresses, ", "), key))
	case o.Port != "" && !slices.ContainsFunc(addresses, func(a string) bool { return strings.HasSuffix(a, ":"+o.Port) }):
		doubts = append(doubts, fmt.Sprintf("this configuration does not listen for %s on port %s: it has %s: [%s]",
			o.Transport, o.Port, key, strings.Join(addresses, ", ")))
	}
	if o.Port == "" && port != "0" {
		o.Port = port
	}
	if o.Collector == "" && strings.HasSuffix(o.Transport, "tls") {
		o.Collector = certificateName(c.Receiver.TLS.CertFile)
	} else if o.Collector == "" && host != "localhost" {
		o.Collector = host
	}
	if o.Collector == "" {
		o.Collector = standInCollector
		doubts = append(doubts, standInCollector+" stands in the file for the address of the gateway: give it by --collector, or replace it")
	}
	return o, doubts
}

// listenersOf returns the key of a transport's listeners and their addresses; ""
// for a transport that has none.
func listenersOf(c config.Config, transport string) (key string, addresses []string) {
	switch transport {
	case "udp":
		return "receiver.udp", c.Receiver.UDP
	case "tcp":
		return "receiver.tcp", c.Receiver.TCP
	case "tls":
		return "receiver.tls.listen", c.Receiver.TLS.Listen
	case "relp":
		return "receiver.relp", c.Receiver.RELP
	case "relp-tls":
		return "receiver.tls.relp_listen", c.Receiver.TLS.RELPListen
	}
	return "", nil
}

// reachable picks the listener that other hosts are most likely to reach, and
// returns its host, "" for every address and "localhost" if all are the
// gateway's own, with its port.
func reachable(addresses []string) (host, port string) {
	for _, address := range addresses {
		h, p, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		ip, err := netip.ParseAddr(h)
		switch {
		case err == nil && ip.IsLoopback() || h == "localhost":
			if port == "" {
				host, port = "localhost", p
			}
		case h == "" || err == nil && ip.IsUnspecified():
			return "", p
		default:
			return h, p
		}
	}
	return host, port
}

// certificateWords say what a listener with TLS needs besides.
func certificateWords(transport string) string {
	if !strings.HasSuffix(transport, "tls") {
		return ""
	}
	return ", with cert_file, key_file and client_ca_file"
}

// certificateName is the name in a certificate, by which mail hosts know us; ""
// if the file cannot be read.
func certificateName(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return ""
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(certificate.DNSNames) == 0 {
		return ""
	}
	return certificate.DNSNames[0]
}
