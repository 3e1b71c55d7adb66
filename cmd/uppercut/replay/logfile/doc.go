// Package logfile reads the files that syslog daemons write: plain or packed
// with gzip, zstd or bzip2, told apart by themselves. It knows nothing of mail,
// and leaves the header of a line to receiver/header.
//
// A File hands out its text in chunks of whole lines, so that several
// goroutines can work on one file; a Calendar finds the year of times that were
// written without one. Neither is safe for concurrent use, and neither starts a
// goroutine.
package logfile
