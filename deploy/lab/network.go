package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"uppercut/deploy/netns"
)

// gatewayAddr is the gateway's address on the mail hosts' side.
var gatewayAddr = netip.MustParseAddr("10.25.0.1")

// namePrefix begins the names of all our namespaces; the process id follows.
const namePrefix = "uplab"

// network is the lab's topology: see the package comment.
type network struct {
	internet, gateway *netns.Namespace
	hosts             map[string]*netns.Namespace
	made              []*netns.Namespace
}

// buildNetwork makes the namespaces and joins them. On error nothing stays.
func buildNetwork() (*network, error) {
	n := &network{hosts: map[string]*netns.Namespace{}}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

func (n *network) build() (err error) {
	if n.internet, err = n.add("net"); err != nil {
		return err
	}
	if n.gateway, err = n.add("gw"); err != nil {
		return err
	}
	for _, host := range hosts {
		if n.hosts[host.name], err = n.add(host.name); err != nil {
			return err
		}
	}
	if err := n.joinInternet(); err != nil {
		return err
	}
	return n.joinHosts()
}

func (n *network) add(role string) (*netns.Namespace, error) {
	ns, err := netns.Add(netns.Name(namePrefix, role))
	if err == nil {
		n.made = append(n.made, ns)
	}
	return ns, err
}

// joinInternet links internet and gateway. Every public address of the lab is
// local in internet, so that a client can bind whichever it likes.
func (n *network) joinInternet() error {
	internet := []string{"route add 10.25.0.0/24 via 10.99.0.1", "-6 route add fd25::/64 via fd99::1"}
	gateway := []string{
		"link add lan0 type bridge mcast_snooping 0", "addr add 10.25.0.1/24 dev lan0", "addr add fd25::1/64 dev lan0", "link set lan0 up",
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
		netns.Cable(
			netns.End{In: n.internet, Device: "wan0", Addresses: []string{"10.99.0.2/24", "fd99::2/64"}},
			netns.End{In: n.gateway, Device: "wan0", Addresses: []string{"10.99.0.1/24", "fd99::1/64"}}),
		n.internet.IP(internet...), n.gateway.IP(gateway...),
		n.internet.Sysctl("net.ipv6.ip_nonlocal_bind", "1"),
		n.gateway.Sysctl("net.ipv4.ip_forward", "1"),
		n.gateway.Sysctl("net.ipv6.conf.all.forwarding", "1"),
	)
}

func (n *network) joinHosts() error {
	var errs []error
	for _, host := range hosts {
		ns := n.hosts[host.name]
		errs = append(errs,
			netns.Cable(
				netns.End{In: ns, Device: "eth0", Addresses: []string{host.addr4.String() + "/24", host.addr6.String() + "/64"}},
				netns.End{In: n.gateway, Device: host.name}),
			n.gateway.IP("link set "+host.name+" master lan0"),
			ns.IP("route add default via 10.25.0.1", "-6 route add default via fd25::1"))
	}
	return errors.Join(errs...)
}

// remove deletes the namespaces. Processes inside must have ended.
func (n *network) remove() error {
	var errs []error
	for _, ns := range n.made {
		errs = append(errs, ns.Close())
	}
	return errors.Join(errs...)
}

// sweep removes what labs left that were killed. Their processes died with
// them.
func sweep() {
	netns.Sweep(namePrefix)
	for _, name := range netns.Left(os.TempDir(), namePrefix) {
		_ = os.RemoveAll(filepath.Join(os.TempDir(), name))
	}
}
