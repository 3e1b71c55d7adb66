package appliance

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/cmd/uppercut/config"
	"uppercut/detector"
)

func TestGauges(t *testing.T) {
	a := &Appliance{pipeline: newPipeline(nil, nil, nil, nil)}
	a.config.Store(&config.Config{Detector: detector.Config{Rules: []detector.Rule{{Name: "burst", Block: time.Hour}}}})
	a.pipeline.queue <- new(batch)
	want := `
# HELP uppercut_queue_capacity Configured capacity of the queue; while it is full, readers and senders wait.
# TYPE uppercut_queue_capacity gauge
uppercut_queue_capacity{queue="ingest"} 256
# HELP uppercut_queue_length Items waiting; queue is ingest, where an item is a batch of messages from one read of a socket.
# TYPE uppercut_queue_length gauge
uppercut_queue_length{queue="ingest"} 1
# HELP uppercut_rule_block_duration_seconds Configured block duration of the rule.
# TYPE uppercut_rule_block_duration_seconds gauge
uppercut_rule_block_duration_seconds{rule="burst"} 3600
# HELP uppercut_senders_not_understood Senders none of whose lines are understood; a relay counts once for each of its hosts.
# TYPE uppercut_senders_not_understood gauge
uppercut_senders_not_understood 0
`
	if err := testutil.CollectAndCompare(gauges{a}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	// A reload is seen at the next scrape, and no rule that has gone.
	a.config.Store(&config.Config{Detector: detector.Config{Rules: []detector.Rule{{Name: "steady", Block: time.Minute}}}})
	if n := testutil.CollectAndCount(gauges{a}, "uppercut_rule_block_duration_seconds"); n != 1 {
		t.Errorf("%d rules after a reload, want 1", n)
	}
}
