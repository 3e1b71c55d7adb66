package appliance

import (
	"strings"
	"testing"

	"uppercut/cmd/uppercut/config"
)

// What the start promises is what the mode does.
func TestStartPromisesWhatTheModeDoes(t *testing.T) {
	for mode, want := range map[string]struct{ has, hasNot []string }{
		config.ModeEnforce: {
			[]string{"see it blocked", "nft list table inet uppercut", "blocks stay\nuntil they run out", "udp 127.0.0.1:5514, tcp 127.0.0.1:5514", "192.168.0.0/16", "web.config_file"},
			[]string{"would be"},
		},
		config.ModeObserve: {[]string{"see what would be blocked (in mode observe nothing is)"}, []string{"see it blocked", "nft list", "blocks stay"}},
	} {
		var out strings.Builder
		a := &Appliance{options: Options{Stdout: &out}}
		c := config.Default()
		c.Mode = mode
		a.config.Store(&c)
		a.sayWhatNext()
		for _, text := range want.has {
			if !strings.Contains(out.String(), text) {
				t.Errorf("mode %s: it does not say %q:\n%s", mode, text, out.String())
			}
		}
		for _, text := range want.hasNot {
			if strings.Contains(out.String(), text) {
				t.Errorf("mode %s: it says %q:\n%s", mode, text, out.String())
			}
		}
	}
}
