package samples

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/receiver"
)

// TestSamplesKeepTheLastOfEachShape with when, whose and how many, whatever the
// stage, and without secrets.
func TestSamplesKeepTheLastOfEachShape(t *testing.T) {
	var s Samples
	noon := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	buffer := []byte("10.0.0.1mx1")
	for i := 1; i <= 6000; i++ { // no process has number 0
		l := &detector.Line{Sender: bufferString(buffer[:8]), Host: bufferString(buffer[8:]), Received: noon.Add(time.Duration(i) * time.Second)}
		s.Line(l, fmt.Sprintf("6ANJY8aV%06d: something odd %d, user=joe", i, i))
	}
	copy(buffer, "overwritten")
	s.Line(&detector.Line{Sender: "10.0.0.2", Received: noon.Add(2 * time.Hour)}, "another thing")
	s.Frame(receiver.Unread{Stage: "syslog", Reason: "priority", Sender: "10.0.0.3", Host: "mx3", Received: noon, Text: "<999>x password=hunter2"})
	s.Frame(receiver.Unread{Stage: "framing", Sender: "10.0.0.4", Received: noon, Text: "\x16\x03\x01"})
	want := []console.Sample{
		{Time: noon, Stage: "framing", Sender: "10.0.0.4", Count: 1, Text: "\x16\x03\x01"},
		{Time: noon, Stage: "syslog", Reason: "priority", Sender: "10.0.0.3", Host: "mx3", Count: 1, Text: "<999>x password=***"},
		{Time: noon.Add(2 * time.Hour), Stage: "sendmail", Sender: "10.0.0.2", Count: 1, Text: "another thing"},
		{Time: noon.Add(6000 * time.Second), Stage: "sendmail", Sender: "10.0.0.1", Host: "mx1", Count: 6000, Text: "6ANJY8aV006000: something odd 6000, user=***"},
	}
	got := s.List()
	if len(got) != len(want) {
		t.Fatalf("%d samples: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	if texts := s.Texts(); len(texts) != 4 || texts[0] != want[3].Text {
		t.Errorf("in the order in which they came first: %q", texts)
	}
}

// TestSamplesAreBounded: of too many shapes those that came last are kept, and
// one stage takes no room from another.
func TestSamplesAreBounded(t *testing.T) {
	var s Samples
	s.Frame(receiver.Unread{Stage: "syslog", Text: "x"})
	for i := range 100 {
		s.Line(&detector.Line{}, "often")
		s.Line(&detector.Line{}, strings.Repeat(string(rune('a'+i%26)), 1+i/26)+strings.Repeat("!", 10_000))
	}
	list := s.List()
	if len(list) != maxStageSamples+1 || list[len(list)-1].Stage != "syslog" {
		t.Errorf("%d samples, the last %+v", len(list), list[len(list)-1])
	}
	often := 0
	for _, sample := range list {
		if sample.Text == "often" && sample.Count == 100 {
			often++
		}
		if len(sample.Text) > maxSampleText {
			t.Errorf("%d bytes are kept", len(sample.Text))
		}
	}
	if often != 1 {
		t.Error("what comes again and again is forgotten")
	}
}

// bufferString is a string in a buffer that is used again.
func bufferString(b []byte) string { return unsafe.String(&b[0], len(b)) }

// TestSamplesCostLittle: a line whose shape is known takes no memory, however
// fast such lines come.
func TestSamplesCostLittle(t *testing.T) {
	var s Samples
	l := &detector.Line{Sender: "10.0.0.1", Host: "mx1"}
	each := testing.AllocsPerRun(100, func() { s.Line(l, "6ANJY8aV012345: something odd, user=joe password=hunter2") })
	if each != 0 {
		t.Errorf("%v allocations for each", each)
	}
}
