package main

import (
	"io"
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"uppercut/deploy/senders"
)

func newSenderConfigCommand(env *environment) *cobra.Command {
	var o senders.Options
	command := &cobra.Command{
		Use:   "sender-config --host NAME --transport T [--collector NAME] [--syslog-ng]",
		Short: "Print what a mail host needs to forward its log here",
		Long: `sender-config prints the configuration file for rsyslog (or syslog-ng) on a mail
host; its head says where it belongs. The port is where this configuration
listens, the transport's usual one if it does not.`,
		Example: "  uppercut sender-config --host mx1.example.org --transport tls --collector log.example.org",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := env.config()
			if err != nil {
				return err
			}
			if o.Port == "" {
				o.Port = listeningPort(c, o.Transport)
			}
			text, err := senders.Config(o)
			if err != nil {
				return exitCode{exitUsage, err}
			}
			_, err = io.WriteString(env.stdout, text)
			return err
		},
	}
	f := command.Flags()
	f.StringVar(&o.Host, "host", "", "`name` of the mail host, and of its certificate")
	f.StringVar(&o.Collector, "collector", "uppercut.example.org", "`name` or address under which the mail host reaches uppercut")
	f.StringVar(&o.Port, "port", "", "`port` if it is not the one of this configuration")
	f.StringVar(&o.Transport, "transport", "tcp", strings.Join(senders.Transports(), ", "))
	completes(command, "transport", senders.Transports)
	f.BoolVar(&o.SyslogNG, "syslog-ng", false, "for syslog-ng instead of rsyslog")
	return command
}

// listeningPort is the port on which c listens for a transport, "" if it does
// not.
func listeningPort(c Config, transport string) string {
	addresses := map[string][]string{
		"udp": c.Receiver.UDP, "tcp": c.Receiver.TCP, "tls": c.Receiver.TLS.Listen, "relp": c.Receiver.RELP,
		"relp-tls": c.Receiver.TLS.RELPListen,
	}[transport]
	i := slices.IndexFunc(addresses, func(a string) bool {
		_, _, err := net.SplitHostPort(a)
		return err == nil
	})
	if i < 0 {
		return ""
	}
	_, port, _ := net.SplitHostPort(addresses[i])
	return port
}
