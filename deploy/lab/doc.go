// Package lab is a mail fleet under attack on one machine, for tests and for
// watching: three real sendmails with different configurations, each with a
// real rsyslogd, behind a gateway that runs uppercut, and an Internet of
// attackers and honest senders.
//
//	internet   any address of 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24,
//	   |       100.64.0.0/10 and 2001:db8::/32
//	gateway    uppercut, nftables, Prometheus, DNS and DNSBL, the next hop
//	   |       10.25.0.1, fd25::1
//	mx1 mx2 mx3   10.25.0.11 to .13, fd25::11 to ::13
//
// Everything lives in network namespaces whose names hold the process id, so
// that several labs can run at once. A mail host has its own mount, UTS, PID
// and network namespace. Nothing outside the namespaces and one temporary
// directory is touched.
//
// The lab judges uppercut from outside and imports none of its packages: the
// attackers know which refusals they were given, the kernel is asked with nft,
// Prometheus over HTTP.
package lab
