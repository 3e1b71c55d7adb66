package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/netns"
)

// stalledWriter takes what it is given when it is let.
type stalledWriter struct {
	let  chan struct{}
	text strings.Builder
}

func (w *stalledWriter) Write(b []byte) (int, error) {
	<-w.let
	return w.text.Write(b)
}

// TestALogThatNobodyReadsHoldsUpNobody: lines wait, then are dropped, counted and
// told of.
func TestALogThatNobodyReadsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stalledWriter{let: make(chan struct{})}
		q := newLogQueue(out, prometheus.NewRegistry(), tellDropped("text"))
		logger := slog.New(slog.NewTextHandler(q, nil))
		const lines = 100_000
		for i := range lines {
			logger.Info("block", "number", i)
		}
		dropped := testutil.ToFloat64(q.dropped)
		if dropped == 0 || dropped > 2*lines/3 {
			t.Fatalf("%v dropped", dropped)
		}
		close(out.let)
		q.close()
		got := out.text.String()
		if n := strings.Count(got, "msg=block"); n != lines-int(dropped) {
			t.Errorf("%d lines written, %v dropped", n, dropped)
		}
		if want := fmt.Sprintf(`level=WARN msg="log lines were dropped: standard error was not read" lines=%v`, int(dropped)); !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	})
}

func TestTheEndDoesNotWaitForALogThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &stalledWriter{let: make(chan struct{})}
		q := newLogQueue(out, prometheus.NewRegistry(), tellDropped("json"))
		fmt.Fprintln(q, "line")
		began := time.Now()
		q.close()
		if took := time.Since(began); took != logFlush {
			t.Errorf("it took %v", took)
		}
		close(out.let)
	})
}

// TestAReaderThatEndsEndsNobody: a write to a closed pipe is a line less.
func TestAReaderThatEndsEndsNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	r.Close()
	q := newLogQueue(w, prometheus.NewRegistry(), func(io.Writer, uint64) {})
	fmt.Fprintln(q, "line")
	q.close()
	if testutil.ToFloat64(q.dropped) != 1 {
		t.Errorf("%v dropped", testutil.ToFloat64(q.dropped))
	}
	if _, err := w.WriteString("x"); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

// TestUnreadStandardError: a program whose standard error nobody reads goes on
// blocking, and one whose reader has ended goes on, too.
func TestUnreadStandardError(t *testing.T) {
	p := newPost(t)
	r, w, err := os.Pipe()
	netns.Must(t, err)
	p.log.Reset()
	p.stderr = w
	p.start()
	w.Close()
	block := func(third, n int) {
		t.Helper()
		args := []string{"--config", filepath.Join(p.dir, "uppercut.yaml"), "block"}
		for i := range n {
			args = append(args, fmt.Sprintf("20.0.%d.%d", third+i>>8, i&255))
		}
		if said, code := p.ask(args...); code != 0 {
			t.Fatal(said)
		}
	}
	block(0, 1500) // a pipe holds some 300 lines
	block(100, 1)
	if !p.drops("20.0.100.0") {
		t.Error("nothing is blocked behind a log that nobody reads")
	}
	r.Close()
	block(101, 2)
	if said, code := p.ask("--config", filepath.Join(p.dir, "uppercut.yaml"), "health"); code != 0 {
		t.Errorf("after the reader's end: %d\n%s", code, said)
	}
	p.end(syscall.SIGTERM)
}
