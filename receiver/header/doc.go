// Package header reads the syslog header of live frames and of lines in files.
// It is a pure function of its input and of the last second that it read.
package header
