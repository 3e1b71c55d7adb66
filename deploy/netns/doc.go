// Package netns lays networks for tests and for the lab: network namespaces
// with veth pairs between them, made with ip(8). It needs root. No part of the
// appliance imports it.
//
// A test makes its namespaces with [New], which removes them when the test
// ends, and hands the errors of everything else to [Must]:
//
//	gateway, server := netns.New(t, "gw"), netns.New(t, "mx")
//	netns.Must(t,
//		netns.Cable(
//			netns.End{In: gateway, Device: "lan", Addresses: []string{"10.25.0.1/24"}},
//			netns.End{In: server, Device: "eth0", Addresses: []string{"10.25.0.11/24"}}),
//		server.IP("route add default via 10.25.0.1"),
//		gateway.Sysctl("net.ipv4.ip_forward", "1"))
//
// The name of a namespace holds the process id, so that tests of several
// packages can run at once, and so that what a killed process left is known as
// such: the next New removes it.
package netns
