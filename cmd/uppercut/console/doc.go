// Package console is how people see the appliance and act on it: a control API
// (JSON over HTTP, see openapi.yaml) on a Unix socket and on the web listener,
// the status page over the same operations, and the client of the command line.
//
// It knows neither detector nor enforcer: it speaks in the plain values of this
// package to an Appliance, which the wiring in package main provides.
//
// # Who may what
//
// Whoever reaches the Unix socket (mode 0660, group uppercut) may everything;
// the kernel says who it is. On the web listener everybody sees counts. A user
// of the web configuration file sees evidence and may act, but over plain HTTP
// only from the machine itself. Posts from pages of other origins are refused,
// and those from forms need a token besides.
//
// # Ownership
//
// New binds both listeners and starts nothing; Run serves until its context
// ends, then lets requests in flight finish. Publish and the Appliance's
// methods may be called from any goroutine.
package console
