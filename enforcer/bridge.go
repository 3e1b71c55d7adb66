package enforcer

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"uppercut/enforcer/nft"
)

// bridgesAround names the bridges of a machine that forwards by nothing else: their
// packets come to our chain only with br_netfilter. A machine that routes has
// bridges for its guests and containers, and those are its own matter.
func bridgesAround(netns int) (ways []Way) {
	links, err := nft.Links(netns)
	if err != nil {
		return nil
	}
	bridges := forwarding(links)
	if len(bridges) == 0 {
		return nil
	}
	s := switchesOf(netns)
	if s.forward4 == "1" || s.forward6 == "1" {
		return nil
	}
	for _, b := range bridges {
		for _, f := range []struct{ filter, family, key string }{
			{s.filter4, "IPv4", "net.bridge.bridge-nf-call-iptables"},
			{s.filter6, "IPv6", "net.bridge.bridge-nf-call-ip6tables"},
		} {
			if f.filter != "1" {
				ways = append(ways, Way{aroundBridge, fmt.Sprintf(
					"%s packets that cross the bridge %s are not seen: load the module br_netfilter and set %s to 1", f.family, b, f.key)})
			}
		}
	}
	return ways
}

// forwarding returns the bridges with more than one port.
func forwarding(links []nft.Link) (names []string) {
	ports := map[int]int{}
	for _, l := range links {
		ports[l.Master]++
	}
	for _, l := range links {
		if l.Kind == "bridge" && ports[l.Index] > 1 {
			names = append(names, l.Name)
		}
	}
	return names
}

// switches are sysctls, "" where there is none.
type switches struct{ forward4, forward6, filter4, filter6 string }

// switchesOf reads them in a network namespace; 0 is that of the process.
func switchesOf(netns int) (s switches) {
	read := func(name string) string {
		text, _ := os.ReadFile("/proc/sys/net/" + name)
		return strings.TrimSpace(string(text))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if netns != 0 {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if unix.Setns(netns, unix.CLONE_NEWNET) != nil {
				return
			}
		}
		s = switches{
			read("ipv4/ip_forward"), read("ipv6/conf/all/forwarding"),
			read("bridge/bridge-nf-call-iptables"), read("bridge/bridge-nf-call-ip6tables"),
		}
	}()
	<-done
	return s
}
