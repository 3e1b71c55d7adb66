package enforcer

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/netns"
	"uppercut/enforcer/nft"
)

// A bridge that is all that forwards is told of, until netfilter sees its packets.
func TestBridgesAreToldOf(t *testing.T) {
	ns := newKernel(t)
	kinds := func() (families []string) {
		for _, w := range bridgesAround(ns.FD()) {
			if w.Kind != aroundBridge || !strings.Contains(w.Text, "br0") {
				t.Errorf("%+v", w)
			}
			families = append(families, strings.Fields(w.Text)[0])
		}
		return families
	}
	has := func(when string, want ...string) {
		t.Helper()
		if got := kinds(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	netns.Must(t, ns.Sysctl("net.ipv4.ip_forward", "0"), ns.Sysctl("net.ipv6.conf.all.forwarding", "0"),
		ns.Sysctl("net.bridge.bridge-nf-call-iptables", "0"), ns.Sysctl("net.bridge.bridge-nf-call-ip6tables", "0"))
	has("no bridge")
	netns.Must(t, ns.IP("link add br0 type bridge", "link add p1 type veth peer name q1", "link set p1 master br0"))
	has("one port")
	netns.Must(t, ns.IP("link add p2 type veth peer name q2", "link set p2 master br0"))
	has("two ports", "IPv4", "IPv6")
	netns.Must(t, ns.Sysctl("net.bridge.bridge-nf-call-iptables", "1"))
	has("IPv4 is seen", "IPv6")
	netns.Must(t, ns.Sysctl("net.bridge.bridge-nf-call-ip6tables", "1"))
	has("both are seen")
	netns.Must(t, ns.Sysctl("net.bridge.bridge-nf-call-iptables", "0"), ns.Sysctl("net.ipv4.ip_forward", "1"))
	has("the machine routes")
}

// A way around the rules is told in the state and the metrics, once it is sure.
func TestWaysAround(t *testing.T) {
	soft, hard := nft.Flowtable{Family: "inet", Table: "fw", Name: "ft"}, nft.Flowtable{Family: "ip", Table: "t", Name: "hw", Hardware: true}
	for name, tt := range map[string]struct {
		offload nft.Offload
		err     error
		want    []string
	}{
		"nothing":          {},
		"covered":          {nft.Offload{Flowtables: []nft.Flowtable{soft}, Devices: []string{"lan", "wan"}, Covered: []string{"lan", "wan"}}, nil, nil},
		"refused":          {nft.Offload{Flowtables: []nft.Flowtable{soft}, Devices: []string{"lan", "wan"}, Covered: []string{"lan"}}, errors.New("no"), []string{"flowtable at wan"}},
		"not even read":    {nft.Offload{}, errors.New("no"), []string{"flowtable"}},
		"hardware offload": {nft.Offload{Flowtables: []nft.Flowtable{soft, hard}, Devices: []string{"wan"}, Covered: []string{"wan"}}, nil, []string{"offload ip t hw"}},
	} {
		got := waysAround(tt.offload, tt.err)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v", name, got)
			continue
		}
		for i, w := range got {
			kind, about, _ := strings.Cut(tt.want[i], " ")
			if w.Kind != kind || !strings.Contains(w.Text, about) {
				t.Errorf("%s: %+v, want %s", name, w, tt.want[i])
			}
		}
	}
}

func TestBridgeInTheState(t *testing.T) {
	ns := newKernel(t)
	netns.Must(t, ns.IP("link add br0 type bridge", "link add p1 type veth peer name q1", "link set p1 master br0", "link add p2 type veth peer name q2", "link set p2 master br0"),
		ns.Sysctl("net.ipv4.ip_forward", "0"), ns.Sysctl("net.ipv6.conf.all.forwarding", "0"),
		ns.Sysctl("net.bridge.bridge-nf-call-iptables", "1"), ns.Sysctl("net.bridge.bridge-nf-call-ip6tables", "0"))
	a := start(t, DefaultConfig(), options(t, ns))
	eventually(t, slack*5*time.Second, "the bridge is told of", func() bool {
		ways := a.Show().Around.Ways
		return len(ways) == 1 && ways[0].Kind == aroundBridge
	})
	if !a.Show().Enforcing {
		t.Error("a bridge is no reason not to enforce")
	}
}
