// Command bench measures uppercut beside what a user would take instead, on the
// machine at hand, and prints Markdown tables.
//
// A contest is a task and those who compete in it: uppercut first, then its
// rivals from Debian packages. They run in turns, round after round, so that a
// busy machine is busy for all of them; the tables give medians, and ratios of
// figures from the same round. A rival that is not installed is skipped by name.
//
// Whatever needs nftables or a network runs in network namespaces of its own;
// the firewall of the machine is never touched.
package main
