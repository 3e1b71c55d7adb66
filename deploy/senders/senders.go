// Package senders holds what a mail host needs to forward its log to uppercut:
// a file of rsyslog or syslog-ng for each transport, and one that keeps journald
// from dropping lines. The files are examples
// that work as they stand, for mx1.example.org; Config puts other names in.
package senders

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed *.conf
var files embed.FS

// The names and ports that the files are written with.
const (
	exampleHost      = "mx1.example.org"
	exampleCollector = "collector.example.org"
)

// ports are those of the files, by transport.
var ports = map[string]string{"udp": "5514", "tcp": "5514", "tls": "6514", "relp": "2514", "relp-tls": "2515"}

// Transports returns what Options.Transport can be.
func Transports() []string { return []string{"tls", "relp", "relp-tls", "tcp", "udp"} }

// UsualPort is the port of a transport's files.
func UsualPort(transport string) string { return ports[transport] }

// Options say for whom a configuration is.
type Options struct {
	// Host is the name of the mail host, which is also that of its
	// certificate.
	Host string
	// Collector is the name or address under which the mail host reaches
	// uppercut; with TLS the name in its certificate.
	Collector string
	// Port is where uppercut listens; "" is the usual port of the transport.
	Port string
	// Transport is one of Transports.
	Transport string
	// SyslogNG asks for syslog-ng's configuration instead of rsyslog's.
	SyslogNG bool
	// WithoutImpstats leaves the line out that loads rsyslog's impstats: the host
	// loads it already, and rsyslog takes a second one for a mistake.
	WithoutImpstats bool
}

// Config returns the text of the mail host's configuration file; its head says
// where it belongs.
func Config(o Options) (string, error) {
	if !slices.Contains(Transports(), o.Transport) {
		return "", fmt.Errorf("transport %q is not one of %s", o.Transport, strings.Join(Transports(), ", "))
	}
	if o.Host == "" {
		return "", errors.New("--host is required: the name of the mail host, such as --host mx1.example.org")
	}
	if !isName(o.Host) {
		return "", fmt.Errorf("host %q is not a host name", o.Host)
	}
	if !isName(o.Collector) {
		return "", fmt.Errorf("collector %q is neither a host name nor an address", o.Collector)
	}
	program := "rsyslog"
	if o.SyslogNG {
		program = "syslog-ng"
	}
	text, err := files.ReadFile(program + "-" + o.Transport + ".conf")
	if err != nil {
		return "", fmt.Errorf("%s cannot send over %s", program, o.Transport)
	}
	if o.WithoutImpstats {
		text = loadImpstats.ReplaceAll(text, nil)
	}
	usual := ports[o.Transport]
	port := usual
	if o.Port != "" {
		port = o.Port
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("port %q is not a port number from 1 to 65535", port)
		}
	}
	return strings.NewReplacer(
		exampleHost, o.Host,
		exampleCollector, o.Collector,
		`port="`+usual+`"`, `port="`+port+`"`,
		"port("+usual+")", "port("+port+")",
	).Replace(string(text)), nil
}

// loadImpstats is what rsyslog takes once only, with what the files say of it.
var loadImpstats = regexp.MustCompile(`(?m) Where another file\n# already loads impstats, remove the first of these lines\.$|^module\(load="impstats".*\n`)

// Journald returns the text of the file for journald of a mail host, which lifts
// its rate limit and says how to lift that of rsyslog's imjournal.
func Journald() string {
	text, err := files.ReadFile("journald.conf")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(text)
}

// isName keeps everything out that would end a quoted string.
func isName(s string) bool {
	return s != "" && len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:", r)
	})
}
