// Package loggen makes up the mail log of a fleet of sendmail hosts: accepted
// mail, deliveries, refused clients and what other daemons write in between.
// The same seed gives the same lines on every machine, so benchmarks, examples
// and tests can name what they expect; each Line also carries the truth about
// itself.
//
// The wording is that of sendmail 8.17 at LogLevel 9. Clients have addresses of
// ranges that nobody routes: 198.18.0.0/15, 100.64.0.0/10 and 2001:db8::/32.
package loggen
