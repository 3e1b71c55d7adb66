package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/deploy/loggen"
)

// TestRELPWindow: the client never has more messages without an answer than the
// window, and ends when every one has been answered.
func TestRELPWindow(t *testing.T) {
	const messages = 3 * relpWindow
	var file []byte
	for i := range messages {
		file = appendRELP(file, i+1, []byte("m with\nLF"))
	}
	client, server := net.Pipe()
	c := &relpClient{
		conn: client, out: bufio.NewWriter(client), in: bufio.NewReader(client),
		window: make(chan struct{}, relpWindow), failed: make(chan error, 1),
	}
	sent := make(chan error, 1)
	go func() { c.failed <- c.answers() }()
	go func() { sent <- c.send(bufio.NewReader(bytes.NewReader(file))) }()
	in := bufio.NewReader(server)
	for i := 0; i < messages; i += relpWindow {
		for j := range relpWindow { // all of a window comes without an answer
			head, size, err := relpHead(in, nil)
			if err != nil || string(head) != fmt.Sprintf("%d syslog 9 ", i+j+2) || size != 9 {
				t.Fatalf("%q, %d, %v", head, size, err)
			}
			if _, err := in.Discard(10); err != nil {
				t.Fatal(err)
			}
		}
		if len(c.window) != relpWindow {
			t.Errorf("%d messages without an answer, want %d", len(c.window), relpWindow)
		}
		if _, err := server.Write([]byte(strings.Repeat("2 rsp 6 200 OK\n", relpWindow))); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	server.Close()
	if err := <-c.failed; err == nil {
		t.Error("no error when the server has gone")
	}
}

func TestRELPRefusal(t *testing.T) {
	c := &relpClient{in: bufio.NewReader(strings.NewReader("2 rsp 9 500 wrong\n"))}
	complain(t, c.answer(), "500")
}

// TestFleetFiles: every host has a file of its own, and all lines are there.
func TestFleetFiles(t *testing.T) {
	dir := t.TempDir()
	f, err := writeFleet(dir, loggen.LastMinute(500, 3), octetCounted)
	if err != nil {
		t.Fatal(err)
	}
	total, size := 0, int64(0)
	for i, path := range f.files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(bytes.NewReader(text))
		for {
			var length int
			if _, err := fmt.Fscanf(in, "%d ", &length); err != nil {
				break
			}
			message := make([]byte, length)
			if _, err := io.ReadFull(in, message); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(message), fmt.Sprintf(" mx%d ", i+1)) {
				t.Fatalf("%s holds %q", filepath.Base(path), message)
			}
			total++
			size += int64(length)
		}
	}
	if total != 500 || size != f.bytes || f.messages != 500 {
		t.Errorf("%d messages of %d bytes, the fleet says %d of %d", total, size, f.messages, f.bytes)
	}
}
