package appliance

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"

	"uppercut/cmd/uppercut/config"
	"uppercut/cmd/uppercut/console"
	"uppercut/receiver"
)

// sayListening logs where syslog is heard; the page says its own address.
func (a *Appliance) sayListening() {
	for _, t := range []receiver.Transport{receiver.UDP, receiver.TCP, receiver.TLS, receiver.RELP, receiver.Unix} {
		// One socket for each UDP reader, all at one address.
		for _, addr := range slices.CompactFunc(a.receiver.Addrs(t), sameAddr) {
			a.logger.Info("listening for syslog", "transport", t, "address", addr)
		}
	}
}

func sameAddr(a, b net.Addr) bool { return a.String() == b.String() }

// sayWhatNext helps who has just typed make run. The commands are those that
// reach this very appliance.
func (a *Appliance) sayWhatNext() {
	c := a.config.Load()
	basis := "on its defaults"
	if !reflect.DeepEqual(*c, config.Default()) {
		basis = "without a configuration file"
	}
	program := os.Args[0]
	if c.StateDir != config.Default().StateDir {
		program += " --state-dir " + c.StateDir
	}
	promise, kernel, end := "see it blocked", "  nft list table inet uppercut\n", fmt.Sprintf(`Ctrl-C stops it; blocks stay
until they run out, "%s flush" removes them all.`, program)
	if c.Mode == config.ModeObserve {
		promise, kernel, end = "see what would be blocked (in mode observe nothing is)", "", "Ctrl-C stops it."
	}
	fmt.Fprintf(a.options.Stdout, `
uppercut runs %s, mode %s.
Listening for syslog:  %s
Who may send:          %s (receiver.senders)
Page and metrics:      %s
%s
In another terminal, report a client six times and %s:

  for pid in 1 2 3 4 5 6; do
    logger --rfc3164 %s -p mail.info -t "sendmail[$pid]" 'ruleset=check_relay, arg1=[203.0.113.9], arg2=203.0.113.9, relay=[203.0.113.9], reject=550 5.7.1 Fix reverse DNS for 203.0.113.9'
  done
  %[9]s blocks
  %[9]s why 203.0.113.9
%[10]s  %[9]s unblock 203.0.113.9

Then point a mail host at it; the README says how. %[11]s

`, basis, c.Mode, listenerWords(c.Receiver), prefixWords(c.Receiver.Senders), pageWords(c.Web), signInWords(c.Web),
		promise, loggerTarget(c.Receiver), program, kernel, end)
}

// listenerWords lists where syslog is heard.
func listenerWords(c receiver.Config) string {
	var words []string
	for _, l := range []struct {
		transport string
		addresses []string
	}{
		{"udp", c.UDP}, {"tcp", c.TCP}, {"tls", c.TLS.Listen}, {"relp", c.RELP}, {"relp over tls", c.TLS.RELPListen}, {"unix", c.Unix},
	} {
		for _, address := range l.addresses {
			words = append(words, l.transport+" "+address)
		}
	}
	return cmp.Or(strings.Join(words, ", "), "nothing; see receiver.udp, tcp, tls, relp and unix")
}

func prefixWords(ps []netip.Prefix) string {
	var words []string
	for _, p := range ps {
		words = append(words, p.String())
	}
	return cmp.Or(strings.Join(words, ", "), "nobody")
}

func pageWords(c console.Config) string {
	if c.Listen == "" {
		return "none (web.listen is empty)"
	}
	return "http://" + c.Listen + "/"
}

// signInWords say why the page shows so little.
func signInWords(c console.Config) string {
	if c.Listen == "" || c.ConfigFile != "" {
		return ""
	}
	return "The page shows counts only until somebody can sign in: `uppercut web-user NAME` makes a\nweb configuration file, web.config_file or --web.config.file names it; see docs/page.md.\n"
}

// loggerTarget is how logger(1) reaches the first of our listeners from here.
func loggerTarget(c receiver.Config) string {
	transport, address := "--udp", slices.Concat(c.UDP, c.TCP, []string{"127.0.0.1:514"})[0]
	if len(c.UDP) == 0 {
		transport = "--tcp"
	}
	host, port, _ := net.SplitHostPort(address)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return fmt.Sprintf("%s --server %s --port %s", transport, host, port)
}
