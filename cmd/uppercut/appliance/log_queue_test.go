package appliance

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
		q := newLogQueue(out, prometheus.NewRegistry(), tellDropped(false))
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
		q := newLogQueue(out, prometheus.NewRegistry(), tellDropped(true))
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
