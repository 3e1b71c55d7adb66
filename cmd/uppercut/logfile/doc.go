// Package logfile reads the files that syslog daemons write: plain or packed
// with gzip, zstd or bzip2, lines of every usual format, told apart by
// themselves. It knows nothing of mail.
//
// A File hands out its text in chunks of whole lines, so that several
// goroutines can work on one file; a HeaderParser splits a line; a Calendar
// finds the year of times that were written without one. None of them is safe
// for concurrent use, and none starts a goroutine.
package logfile
