package receiver

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestRELPUnreadAnswers: a client that sends and does not read is read no more
// once it is owed maxOwed. When it reads after all, it gets every answer.
func TestRELPUnreadAnswers(t *testing.T) {
	const offer = "relp_version=0\nrelp_software=test\ncommands=syslog"
	session := fmt.Sprintf("1 open %d %s\n", len(offer), offer)
	message := fmt.Sprintf("%d %s", len(line(1)), line(1))
	for name, test := range map[string]struct{ opening, frame string }{
		"unknown commands":      {session, "2 a 0\n"},
		"empty messages":        {session, "2 syslog 0\n"},
		"messages":              {session, "2 syslog " + message + "\n"},
		"refused opens":         {"", "1 open 0\n"},
		"opens without syslog":  {"", "1 open 15 commands=telnet\n"},
		"unreadable messages":   {session, "2 syslog 1 x\n"},
		"opens within sessions": {session, "2 open 0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, relpConfig())
			conn := dial(t, "tcp", h.address(RELP))
			write(t, conn, test.opening)
			waits := func() bool {
				return h.metric(t, "uppercut_connections_waiting", "listener", "relp", "cause", "answers") == 1
			}
			taken := pourUntilStuck(conn, []byte(strings.Repeat(test.frame, 64<<10/len(test.frame)+1)), waits)
			if taken == 0 {
				t.Fatal("the receiver reads all that a client sends who reads nothing")
			}
			// What is owed now was read: at most maxOwed, and what the kernel holds.
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			want := taken/len(test.frame) + strings.Count(test.opening, "open")
			if got := countAnswers(t, conn, want); got < want {
				t.Errorf("%d answers of %d", got, want)
			}
		})
	}
}

// pourUntilStuck writes piece after piece until the other end takes nothing and
// says that the connection waits, and returns how many bytes it took; 0 if it
// took more than the kernel's buffers of both ends can hold. A busy machine takes
// nothing for a while, too, and then goes on.
func pourUntilStuck(conn interface {
	io.Writer
	SetWriteDeadline(time.Time) error
}, piece []byte, waits func() bool,
) int {
	const kernel = 48 << 20
	end := time.Now().Add(patience)
	rest := piece
	for taken := 0; taken < kernel && time.Now().Before(end); {
		_ = conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, err := conn.Write(rest)
		taken += n
		if rest = rest[n:]; len(rest) == 0 {
			rest = piece
		}
		if err != nil && n == 0 && waits() {
			return taken
		}
	}
	return 0
}

// countAnswers reads until there are want answers or the connection ends.
func countAnswers(t *testing.T, r io.Reader, want int) (got int) {
	t.Helper()
	buf := make([]byte, 64<<10)
	kept := 0
	for got < want {
		n, err := r.Read(buf[kept:])
		seen := buf[:kept+n]
		got += bytes.Count(seen, []byte(" rsp "))
		kept = copy(buf, seen[max(0, len(seen)-len(" rsp ")+1):])
		if err != nil {
			t.Logf("after %d answers: %v", got, err)
			return got
		}
	}
	return got
}

// TestBatchesAreBounded: frames of two bytes make no batch larger than others,
// and while the judge is behind only some connections have a batch in hand.
func TestBatchesAreBounded(t *testing.T) {
	const connections, frames = 2 * MaxBatches, 3000
	var inHand, largest atomic.Int64
	behind := make(chan struct{})
	c := testConfig()
	c.MaxConnectionsPerSender = connections
	h := openWith(t, c, func(batch []Message, _, _ func()) {
		inHand.Add(1)
		largest.Store(max(largest.Load(), int64(len(batch))))
		<-behind
		inHand.Add(-1)
	})
	for range connections {
		write(t, dial(t, "tcp", h.address(TCP)), line(1)+"\n"+strings.Repeat("x\n", frames))
	}
	waiting := func() float64 {
		return h.metric(t, "uppercut_connections_waiting", "listener", "tcp", "cause", "judge")
	}
	eventually(t, "the others wait", func() bool { return waiting() == connections-MaxBatches })
	eventually(t, "batches are in hand", func() bool { return inHand.Load() >= MaxBatches })
	if n := inHand.Load(); n != MaxBatches {
		t.Errorf("%d batches are in hand", n)
	}
	close(behind)
	eventually(t, "all frames", func() bool {
		return h.metric(t, "uppercut_messages_received_total") == connections*(frames+1)
	})
	if n := largest.Load(); n > MaxBatch {
		t.Errorf("a batch of %d messages", n)
	}
	if waiting() != 0 {
		t.Error("connections still wait")
	}
}
