package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"uppercut/receiver"
)

// Warnings names what is valid but dangerous.
func (c *Config) Warnings() []string {
	var all []string
	if c.Mode == ModeEnforce && len(c.Enforcer.Allow) == 0 {
		all = append(all, "enforcer.allow is empty: list the networks that must never be blocked, your own office first")
	}
	all = append(all, whoMaySend(c.Receiver)...)
	if host, _, err := net.SplitHostPort(c.Feed.Listen); err == nil && c.Feed.ConfigFile == "" && !isLoopback(host) {
		all = append(all, "feed.listen: without config_file there is no TLS: whoever reads along gets the keys of the clients")
	}
	for i, text := range c.Detector.Texts {
		if cause := text.NeverMatches(); cause != "" {
			all = append(all, fmt.Sprintf("detector.texts[%d].text: %q never matches: %s", i, text.Text, cause))
		}
	}
	for _, path := range c.Receiver.Unix {
		if isSystemLog(path) {
			all = append(all, fmt.Sprintf("receiver.unix: every program of this host that logs to %s waits while uppercut hangs: let rsyslog have it and forward, see docs/away.md", path))
		}
	}
	return all
}

// isSystemLog reports whether a path is that of the socket to which syslog(3)
// writes, or of the one to which journald passes it on.
func isSystemLog(path string) bool {
	return slices.Contains([]string{"/dev/log", "/run/systemd/journal/dev-log", "/run/systemd/journal/syslog"}, filepath.Clean(path))
}

// whoMaySend compares the mail hosts that are listed with those that may send
// and with where uppercut listens.
func whoMaySend(c receiver.Config) []string {
	var all []string
	for _, network := range c.Senders {
		if network.Bits() == 0 {
			all = append(all, fmt.Sprintf("receiver.senders: %s lets everybody send", network))
		}
	}
	var remote []string
	for _, host := range c.Hosts {
		if slices.ContainsFunc(host.Addresses, func(p netip.Prefix) bool { return !p.Addr().IsLoopback() }) {
			remote = append(remote, host.Name)
		}
	}
	if len(remote) == 0 {
		return all
	}
	if listensHereOnly(c) {
		all = append(all, fmt.Sprintf("receiver: %s cannot reach uppercut, which listens on this machine only", remote[0]))
	}
	for _, network := range c.Senders {
		if network.IsSingleIP() && !network.Addr().IsLoopback() && !isListed(c, network.Addr()) {
			all = append(all, fmt.Sprintf("receiver.senders: %s is neither in receiver.hosts nor in receiver.relays: it counts as a mail host without a name", network.Addr()))
		}
	}
	return all
}

// isListed reports whether an address is that of a mail host or of a relay.
func isListed(c receiver.Config, addr netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	if slices.ContainsFunc(c.Hosts, func(h receiver.HostConfig) bool { return slices.ContainsFunc(h.Addresses, contains) }) {
		return true
	}
	return slices.ContainsFunc(c.Relays, func(entry string) bool {
		network, err := netip.ParsePrefix(entry)
		return entry == addr.String() || err == nil && contains(network)
	})
}

// listensHereOnly reports whether no listener has an address that another
// machine could reach.
func listensHereOnly(c receiver.Config) bool {
	for _, address := range slices.Concat(c.UDP, c.TCP, c.RELP, c.TLS.Listen, c.TLS.RELPListen) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return false
		}
		if !isLoopback(host) {
			return false
		}
	}
	return true
}

// isLoopback reports whether a host of an address to listen on is this machine
// alone.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
