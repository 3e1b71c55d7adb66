package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"uppercut/deploy/netns"
)

// transports say how to send a fleet's file: each the way that takes the sender
// least, so that it is not what is measured.
var transports = map[string]func(context.Context, *netns.Namespace, *os.File) error{
	"tcp":  sendTCP,
	"tls":  sendTLS,
	"relp": sendRELP,
}

func dial(ctx context.Context, ns *netns.Namespace, address string) (net.Conn, error) {
	return ns.Dial(ctx, new(net.Dialer), "tcp", address)
}

// sendTCP leaves the copying to the kernel (sendfile).
func sendTCP(ctx context.Context, ns *netns.Namespace, file *os.File) error {
	conn, err := dial(ctx, ns, syslogAddress)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(conn, file)
	return err
}

// sendTLS takes the version that uppercut offers by default.
func sendTLS(ctx context.Context, ns *netns.Namespace, file *os.File) error {
	conn, err := dialTLS(ctx, ns)
	if err != nil {
		return err
	}
	_, err = io.Copy(conn, file)
	if err != nil {
		conn.NetConn().Close()
		return err
	}
	return conn.Close()
}

func dialTLS(ctx context.Context, ns *netns.Namespace) (*tls.Conn, error) {
	conn, err := dial(ctx, ns, tlsAddress)
	if err != nil {
		return nil, err
	}
	return tls.Client(conn, &tls.Config{ServerName: certificateName, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), nil
}

// relpWindow is how many messages may wait for their answer, as in librelp.
const relpWindow = 128

// relpClient sends frames and counts their answers.
type relpClient struct {
	conn   net.Conn
	out    *bufio.Writer
	in     *bufio.Reader
	window chan struct{} // holds a token for each message without an answer
	failed chan error    // why no more answers come
}

func sendRELP(ctx context.Context, ns *netns.Namespace, file *os.File) error {
	c, err := dialRELP(ctx, ns)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.send(bufio.NewReaderSize(file, 1<<20)); err != nil {
		return err
	}
	return c.settle()
}

// dialRELP opens a session.
func dialRELP(ctx context.Context, ns *netns.Namespace) (*relpClient, error) {
	conn, err := dial(ctx, ns, relpAddress)
	if err != nil {
		return nil, err
	}
	c := &relpClient{
		conn: conn, out: bufio.NewWriterSize(conn, 64<<10), in: bufio.NewReaderSize(conn, 64<<10),
		window: make(chan struct{}, relpWindow), failed: make(chan error, 1),
	}
	if err := c.open(); err != nil {
		conn.Close()
		return nil, err
	}
	go func() { c.failed <- c.answers() }()
	return c, nil
}

// settle waits until every message has its answer. Nothing can be sent behind
// it.
func (c *relpClient) settle() error {
	for range relpWindow {
		select {
		case c.window <- struct{}{}:
		case err := <-c.failed:
			return err
		}
	}
	return nil
}

const relpOffer = "relp_version=0\nrelp_software=bench\ncommands=syslog"

func (c *relpClient) open() error {
	if _, err := fmt.Fprintf(c.conn, "1 open %d %s\n", len(relpOffer), relpOffer); err != nil {
		return err
	}
	return c.answer()
}

// send sends the messages of a file of frames as appendRELP writes them.
func (c *relpClient) send(frames *bufio.Reader) error {
	var head []byte
	for {
		var size int64
		var err error
		head, size, err = relpHead(frames, head[:0])
		if err == io.EOF { //nolint:errorlint // it is never wrapped
			return c.out.Flush()
		}
		if err != nil {
			return err
		}
		if err := c.reserve(); err != nil {
			return err
		}
		_, _ = c.out.Write(head) // Flush returns the error
		if _, err := io.CopyN(c.out, frames, size+1); err != nil {
			return err
		}
	}
}

// reserve takes a place in the window. What is in the buffer must go out before
// it waits for one.
func (c *relpClient) reserve() error {
	select {
	case c.window <- struct{}{}:
		return nil
	default:
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	select {
	case c.window <- struct{}{}:
		return nil
	case err := <-c.failed:
		return err
	}
}

// answers reads answers until the connection ends, each of which frees a place
// in the window.
func (c *relpClient) answers() error {
	for {
		if err := c.answer(); err != nil {
			return err
		}
		<-c.window
	}
}

// answer reads one answer, which must be "200".
func (c *relpClient) answer() error {
	var head [32]byte
	_, size, err := relpHead(c.in, head[:0])
	if err != nil {
		return err
	}
	code, err := c.in.Peek(3)
	if err != nil {
		return err
	}
	if string(code) != "200" {
		return fmt.Errorf("relp: answer %q", code)
	}
	_, err = c.in.Discard(int(size) + 1)
	return err
}

// relpHead reads "TXNR COMMAND LENGTH ", appends it to head, and returns it and
// the length.
func relpHead(r *bufio.Reader, head []byte) (_ []byte, size int64, err error) {
	var word []byte
	for range 3 {
		if word, err = r.ReadSlice(' '); err != nil {
			return head, 0, err
		}
		head = append(head, word...)
	}
	size, err = strconv.ParseInt(string(word[:len(word)-1]), 10, 64)
	return head, size, err
}

// appendRELP appends the frame of a message. The session is opened by number 1.
func appendRELP(b []byte, number int, message []byte) []byte {
	b = strconv.AppendInt(b, int64(number+1), 10)
	b = append(b, " syslog "...)
	b = strconv.AppendInt(b, int64(len(message)), 10)
	b = append(b, ' ')
	b = append(b, message...)
	return append(b, '\n')
}
