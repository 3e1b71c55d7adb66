package receiver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// relpAll cuts a stream that arrives in pieces into "TXNR COMMAND DATA".
func relpAll(limit int, pieces []string) (frames []string, err error) {
	s := relpSplitter{max: limit}
	var buf []byte
	for _, piece := range pieces {
		buf = append(buf, piece...)
		used := 0
		for {
			var f relpFrame
			if f, used, err = s.next(buf, used); err != nil {
				break
			}
			frames = append(frames, fmt.Sprintf("%d %s %s", f.transaction,
				buf[f.command.start:f.command.end], buf[f.data.start:f.data.end]))
		}
		if !errors.Is(err, errShort) {
			return frames, err
		}
		buf = slices.Delete(buf, 0, used)
	}
	return frames, nil
}

func TestRELPFrames(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string
		bad          bool
	}{
		{"data", "1 syslog 3 abc\n2 syslog 1 d\n", []string{"1 syslog abc", "2 syslog d"}, false},
		{"no data", "6 close 0\n7 close 0 \n", []string{"6 close ", "7 close "}, false},
		{"LF within data", "1 syslog 3 a\nb\n2 close 0\n", []string{"1 syslog a\nb", "2 close "}, false},
		{"data beyond the limit", "1 syslog 30 " + strings.Repeat("x", 30) + "\n2 syslog 1 a\n", []string{"1 syslog " + strings.Repeat("x", 20), "2 syslog a"}, false},
		{"not whole", "1 syslog 30 abc", nil, false},
		{"no trailer", "1 syslog 3 abcd", []string{"1 syslog abc"}, true},
		{"length that lies", "1 syslog 2 abc\n", []string{"1 syslog ab"}, true},
		{"negative length", "1 syslog -1 a\n", nil, true},
		{"length without end", "1 syslog 99999999 a\n", nil, true},
		{"transaction without end", strings.Repeat("7", 100), nil, true},
		{"command without end", "1 " + strings.Repeat("x", 100), nil, true},
		{"no length", "1 syslog\n", nil, true},
		{"no data, length 1", "1 syslog 1\n", nil, true},
		{"syslog without RELP", "<22>Nov 23 07:20:30 mx1 a: b\n", nil, true},
		{"two spaces", "1  syslog 1 a\n", nil, true},
		{"empty", "", nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, pieces := range [][]string{{test.stream}, strings.Split(test.stream, "")} {
				got, err := relpAll(20, pieces)
				if !slices.Equal(got, test.want) || (err != nil) != test.bad {
					t.Errorf("%q, %v; want %q, bad %v", got, err, test.want, test.bad)
				}
			}
		})
	}
}

func TestRELPFramesAnyCutting(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{"rsyslog-relp-default.txt", "rsyslog-relp-ForwardFormat.txt"} {
		stream := readCapture(t, name).stream
		want, err := relpAll(1000, []string{stream})
		if err != nil || len(want) != 6 {
			t.Fatalf("%s: %q, %v", name, want, err)
		}
		for range 50 {
			if got, _ := relpAll(1000, cutAtRandom(random, stream)); !slices.Equal(got, want) {
				t.Fatalf("%s: cut at random it gives other frames: %q", name, got)
			}
		}
	}
}

// relpConfig listens for RELP alone.
func relpConfig() Config {
	c := DefaultConfig()
	c.UDP, c.TCP, c.RELP = nil, nil, []string{"127.0.0.1:0"}
	return c
}

// TestRELPCaptures plays the client's side of captured sessions and expects
// the server's: the same answers, but for the software that gives them.
func TestRELPCaptures(t *testing.T) {
	for _, name := range []string{"rsyslog-relp-default.txt", "rsyslog-relp-ForwardFormat.txt"} {
		t.Run(name, func(t *testing.T) {
			h := open(t, relpConfig())
			c := readCapture(t, name)
			conn := dial(t, "tcp", h.address(RELP))
			write(t, conn, c.stream)
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			answers, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			_, wantRest, _ := strings.Cut(c.answers, "commands=syslog\n")
			opened, rest, _ := strings.Cut(string(answers), "commands=syslog\n")
			want := fmt.Sprintf("1 rsp %d 200 OK\nrelp_version=0\nrelp_software=uppercut\n", len(offers))
			if opened != want || rest != wantRest {
				t.Errorf("answers %q, want %q and %q", answers, want, wantRest)
			}
			for i, m := range h.wait(t, 4) {
				if m.Transport != RELP || m.Tag != "sendmail" || m.PID != 17608 || i == 3 && m.Text != "after-long" {
					t.Errorf("%+v", m)
				}
			}
		})
	}
}

// relpClient speaks RELP well enough to see what a server does.
type relpClient struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	last   int
}

func dialRELP(t *testing.T, address string) *relpClient {
	t.Helper()
	conn := dial(t, "tcp", address)
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	c := &relpClient{t: t, conn: conn, reader: bufio.NewReader(conn)}
	c.send("open", "relp_version=0\nrelp_software=test\ncommands=syslog")
	if number, text := c.answer(); number != 1 || !strings.HasPrefix(text, "200 OK\n") {
		t.Fatalf("open: %d %q", number, text)
	}
	return c
}

func (c *relpClient) send(command, data string) {
	c.last++
	write(c.t, c.conn, fmt.Sprintf("%d %s %d %s\n", c.last, command, len(data), data))
}

// answer reads "TXNR rsp LEN TEXT LF".
func (c *relpClient) answer() (transaction int, text string) {
	c.t.Helper()
	head, err := c.reader.ReadString(' ')
	if err != nil {
		c.t.Fatal(err)
	}
	transaction, _ = strconv.Atoi(strings.TrimSpace(head))
	if command, _ := c.reader.ReadString(' '); command == "serverclose " {
		return 0, command
	}
	size, _ := c.reader.ReadString(' ')
	n, _ := strconv.Atoi(strings.TrimSpace(size))
	data := make([]byte, n+1)
	if _, err := io.ReadFull(c.reader, data); err != nil {
		c.t.Fatal(err)
	}
	return transaction, string(data[:n])
}

// judge is a handler that leaves the judging to the test.
type judge struct {
	mu      sync.Mutex
	waiting []func()
	count   int
	arrived chan struct{}
}

func (j *judge) take(batch []Message, judged, _ func()) {
	j.mu.Lock()
	j.count += len(batch)
	j.waiting = append(j.waiting, judged)
	j.mu.Unlock()
	j.arrived <- struct{}{}
}

func (j *judge) next() func() {
	<-j.arrived
	j.mu.Lock()
	defer j.mu.Unlock()
	judged := j.waiting[0]
	j.waiting = j.waiting[1:]
	return judged
}

// TestRELPAnswersWhenJudged holds back the judgement and sees no answer, which
// also survives a stop of the receiver.
func TestRELPAnswersWhenJudged(t *testing.T) {
	j := &judge{arrived: make(chan struct{}, 100)}
	h := openWith(t, relpConfig(), j.take)
	c := dialRELP(t, h.address(RELP))
	c.send("syslog", line(1))
	first := j.next()
	c.send("syslog", line(2))
	second := j.next()
	_ = c.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if b, err := c.reader.Peek(1); err == nil {
		t.Fatalf("answered before it was judged: %q", b)
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	first()
	if number, text := c.answer(); number != 2 || text != "200 OK" {
		t.Errorf("answer %d %q, want 2 200 OK", number, text)
	}
	stopped := make(chan struct{})
	go func() { h.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("stopped with a message that is not judged")
	case <-time.After(50 * time.Millisecond):
	}
	second()
	if number, text := c.answer(); number != 3 || text != "200 OK" {
		t.Errorf("answer %d %q, want 3 200 OK", number, text)
	}
	if _, text := c.answer(); text != "serverclose " {
		t.Errorf("%q, want a serverclose", text)
	}
	c.conn.Close()
	<-stopped
}

// TestRELPStopsWithoutJudgement gives up after the stop timeout.
func TestRELPStopsWithoutJudgement(t *testing.T) {
	config := relpConfig()
	config.StopTimeout = 100 * time.Millisecond
	j := &judge{arrived: make(chan struct{}, 100)}
	h := openWith(t, config, j.take)
	c := dialRELP(t, h.address(RELP))
	c.send("syslog", line(1))
	judged := j.next()
	h.stop()
	judged() // late, and to nobody
}

func TestRELPRefuses(t *testing.T) {
	h := open(t, relpConfig())
	c := dialRELP(t, h.address(RELP))
	c.send("starttls", "")
	if number, text := c.answer(); number != 2 || !strings.HasPrefix(text, "500") {
		t.Errorf("unknown command: %d %q", number, text)
	}
	c.send("syslog", "no header")
	if number, text := c.answer(); number != 3 || text != "200 OK" {
		t.Errorf("a message that nobody can read: %d %q", number, text)
	}
	for name, stream := range map[string]string{
		"syslog before open":  "1 syslog 1 a\n",
		"syslog without RELP": line(1) + "\n",
	} {
		conn := dial(t, "tcp", h.address(RELP))
		write(t, conn, stream)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if answer, err := io.ReadAll(conn); len(answer) > 0 || errors.Is(err, errTimeout) {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	if n := h.metric(t, "uppercut_parse_failures_total", "stage", "framing"); n != 2 {
		t.Errorf("%v framing failures", n)
	}
}
