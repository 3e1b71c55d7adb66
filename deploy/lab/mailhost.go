package lab

import (
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
)

//go:embed conf
var configuration embed.FS

//go:embed mailhost.sh
var mailHostScript string

// mailHost is one of the fleet's hosts; conf/NAME.mc is its sendmail.
type mailHost struct {
	name         string
	addr4, addr6 netip.Addr
	tag          string // what sendmail calls itself in the log
	forward      string // how rsyslog forwards
	extra        string // further lines for rsyslog.conf
}

// hosts is the fleet. Each sends its log in another of rsyslog's ways.
var hosts = []mailHost{
	{
		name: "mx1", addr4: netip.MustParseAddr("10.25.0.11"), addr6: netip.MustParseAddr("fd25::11"), tag: "sm-mta",
		forward: `port="1514" protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"`,
	},
	{
		name: "mx2", addr4: netip.MustParseAddr("10.25.0.12"), addr6: netip.MustParseAddr("fd25::12"), tag: "sendmail",
		forward: `port="1514" protocol="udp" template="RSYSLOG_TraditionalForwardFormat"`,
	},
	{
		name: "mx3", addr4: netip.MustParseAddr("10.25.0.13"), addr6: netip.MustParseAddr("fd25::13"), tag: "sendmail",
		forward: `port="6514" protocol="tcp" template="RSYSLOG_ForwardFormat"
  StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="` + gatewayName + `"
  StreamDriver.CAFile="@DIR@/tls/ca.pem" StreamDriver.CertFile="@DIR@/tls/cert.pem" StreamDriver.KeyFile="@DIR@/tls/key.pem"`,
		extra: `$RepeatedMsgReduction on`,
	},
}

func hostNamed(name string) mailHost {
	for _, host := range hosts {
		if host.name == name {
			return host
		}
	}
	panic("no mail host " + name)
}

// addressFor is the host's address of the client's family.
func (h mailHost) addressFor(client netip.Addr) netip.Addr {
	if client.Is4() {
		return h.addr4
	}
	return h.addr6
}

// startMailHost brings up sendmail and rsyslogd of a host in dir, and returns
// when sendmail listens.
func startMailHost(host mailHost, ns *netns.Namespace, dir, milterSocket string, authority *certs.Authority) (*process, error) {
	if err := host.configure(dir, milterSocket, authority); err != nil {
		return nil, err
	}
	cmd := ns.Command("unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child",
		"sh", "-c", mailHostScript, "mailhost.sh", dir, host.name, host.tag)
	p, err := start(host.name, cmd, filepath.Join(dir, "output"))
	if err != nil {
		return nil, err
	}
	listening := func() bool {
		// sendmail writes its pid once its sockets are open.
		_, err := os.Stat(filepath.Join(dir, "sendmail.pid"))
		return err == nil
	}
	if err := p.await(30*time.Second, listening); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// configure writes the host's directory.
func (h mailHost) configure(dir, milterSocket string, authority *certs.Authority) error {
	for _, sub := range []string{"etc", "sasl", "tls"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := issue(authority, filepath.Join(dir, "tls"), h.name+".lab.example"); err != nil {
		return err
	}
	forward := strings.ReplaceAll(h.forward, "@DIR@", dir)
	fill := strings.NewReplacer("@DIR@", dir, "@HOST@", h.name, "@ADDR4@", h.addr4.String(), "@ADDR6@", h.addr6.String(),
		"@MILTER@", milterSocket, "@FORWARD@", forward, "@EXTRA@", h.extra)
	files, err := configuration.ReadDir("conf")
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := configuration.ReadFile("conf/" + file.Name())
		if err != nil {
			return err
		}
		filled := fill.Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, place(file.Name())), []byte(filled), 0o644); err != nil {
			return fmt.Errorf("configure %s: %w", h.name, err)
		}
	}
	return nil
}

// issue writes cert.pem and key.pem for the name, and ca.pem, into dir.
func issue(authority *certs.Authority, dir, name string) error {
	return errors.Join(
		authority.WriteCertificate(filepath.Join(dir, "ca.pem")),
		authority.Issue(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), time.Now().Add(48*time.Hour), name))
}

// place says where in a host's directory a configuration file belongs.
func place(file string) string {
	switch {
	case strings.HasSuffix(file, ".mc"), file == "common.m4", file == "rsyslog.conf":
		return file
	case file == "Sendmail.conf":
		return filepath.Join("sasl", file)
	default:
		return filepath.Join("etc", file)
	}
}
