package main

import (
	"bytes"
	"net"
)

// recorder is a connection that keeps what is written to it, or fails.
type recorder struct {
	net.Conn
	bytes.Buffer
	err error
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.Buffer.Write(b)
}

func (r *recorder) Read(b []byte) (int, error) { return r.Buffer.Read(b) }

func (r *recorder) Close() error { return nil }
