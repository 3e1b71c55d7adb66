package appliance

import (
	"testing"

	"uppercut/receiver"
)

// TestAdvice: whoever sends what the configuration keeps from being read is told
// which key to look at.
func TestAdvice(t *testing.T) {
	for want, s := range map[string]receiver.SenderStatus{
		"": {Refused: 3, Refusal: "timestamp"},
		"it compresses, which is not supported: remove compression.mode and ZipLevel from rsyslog's action":          {Refusal: "compressed"},
		"1 line behind another header: if it is a relay, list it in receiver.relays":                                 {WithheldHeaders: 1},
		"12 lines with sendmail's tag behind another tag: if that one wraps them, list it in receiver.wrapping_tags": {WithheldTags: 12},
	} {
		if got := adviceOn(s); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
