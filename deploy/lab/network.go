package lab

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// gatewayAddr is the gateway's address on the mail hosts' side.
var gatewayAddr = netip.MustParseAddr("10.25.0.1")

// namePrefix begins the names of all our namespaces; the process id follows.
const namePrefix = "uplab"

// network is the lab's topology: see the package comment.
type network struct {
	internet, gateway Namespace
	hosts             map[string]Namespace
}

// buildNetwork makes the namespaces and joins them. On error nothing stays.
func buildNetwork() (*network, error) {
	name := func(role string) Namespace {
		return Namespace(fmt.Sprintf("%s%d-%s", namePrefix, os.Getpid(), role))
	}
	n := &network{internet: name("net"), gateway: name("gw"), hosts: map[string]Namespace{}}
	for _, host := range hosts {
		n.hosts[host.name] = name(host.name)
	}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

func (n *network) build() error {
	for _, ns := range n.all() {
		if err := ip("netns", "add", string(ns)); err != nil {
			return err
		}
		// Without duplicate address detection, which takes seconds.
		if err := errors.Join(ns.sysctl("net.ipv6.conf.default.accept_dad", "0"), ns.ip("link set lo up")); err != nil {
			return err
		}
	}
	if err := n.joinInternet(); err != nil {
		return err
	}
	return n.joinHosts()
}

// joinInternet links internet and gateway. Every public address of the lab is
// local in internet, so that a client can bind whichever it likes.
func (n *network) joinInternet() error {
	internet := []string{
		"addr add 10.99.0.2/24 dev wan0", "addr add fd99::2/64 dev wan0 nodad", "link set wan0 up",
		"route add 10.25.0.0/24 via 10.99.0.1", "-6 route add fd25::/64 via fd99::1",
	}
	gateway := []string{
		"addr add 10.99.0.1/24 dev wan0", "addr add fd99::1/64 dev wan0 nodad", "link set wan0 up",
		"link add lan0 type bridge mcast_snooping 0", "addr add 10.25.0.1/24 dev lan0", "addr add fd25::1/64 dev lan0 nodad", "link set lan0 up",
	}
	for _, public := range publicNetworks {
		if public.Addr().Is4() {
			internet = append(internet, fmt.Sprintf("route add local %s dev lo", public))
			gateway = append(gateway, fmt.Sprintf("route add %s via 10.99.0.2", public))
		} else {
			internet = append(internet, fmt.Sprintf("-6 route add local %s dev lo", public))
			gateway = append(gateway, fmt.Sprintf("-6 route add %s via fd99::2", public))
		}
	}
	return errors.Join(
		ip("link", "add", "wan0", "netns", string(n.internet), "type", "veth", "peer", "name", "wan0", "netns", string(n.gateway)),
		n.internet.ip(internet...), n.gateway.ip(gateway...),
		n.internet.sysctl("net.ipv6.ip_nonlocal_bind", "1"),
		n.gateway.sysctl("net.ipv4.ip_forward", "1"),
		n.gateway.sysctl("net.ipv6.conf.all.forwarding", "1"),
	)
}

func (n *network) joinHosts() error {
	var errs []error
	for _, host := range hosts {
		ns := n.hosts[host.name]
		errs = append(errs,
			ip("link", "add", "eth0", "netns", string(ns), "type", "veth", "peer", "name", host.name, "netns", string(n.gateway)),
			n.gateway.ip("link set "+host.name+" master lan0 up"),
			ns.ip("addr add "+host.addr4.String()+"/24 dev eth0", "addr add "+host.addr6.String()+"/64 dev eth0 nodad",
				"link set eth0 up", "route add default via 10.25.0.1", "-6 route add default via fd25::1"))
	}
	return errors.Join(errs...)
}

func (n *network) all() []Namespace {
	all := []Namespace{n.internet, n.gateway}
	for _, ns := range n.hosts {
		all = append(all, ns)
	}
	return all
}

// remove deletes the namespaces. Processes inside must have ended.
func (n *network) remove() error {
	var errs []error
	for _, ns := range n.all() {
		if _, err := os.Stat("/run/netns/" + string(ns)); err == nil {
			errs = append(errs, ip("netns", "del", string(ns)))
		}
	}
	return errors.Join(errs...)
}

// sweep removes what labs left that were killed. Their processes died with
// them.
func sweep() {
	for _, name := range leftIn("/run/netns") {
		_ = ip("netns", "del", name)
	}
	for _, name := range leftIn(os.TempDir()) {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), name))
	}
}

// leftIn lists the entries of a directory that belong to labs of processes
// that are no more.
func leftIn(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), namePrefix)
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); !ours || err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// ip runs ip commands inside the namespace.
func (n Namespace) ip(commands ...string) error {
	for _, command := range commands {
		if err := ip(append([]string{"-n", string(n)}, strings.Fields(command)...)...); err != nil {
			return err
		}
	}
	return nil
}

func (n Namespace) sysctl(key, value string) error {
	return n.do(func() error {
		return os.WriteFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), []byte(value), 0o644)
	})
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
