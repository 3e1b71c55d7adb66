// Package sendmail reads what sendmail writes about its SMTP clients: Parse
// turns one log line into a Record, Memory joins the Records of an SMTP session
// and gives out Events whose address is proven.
//
// Both are pure: no I/O, no clock, no logger, no goroutine. Parse may be called
// by any goroutine, a Memory belongs to one.
package sendmail
