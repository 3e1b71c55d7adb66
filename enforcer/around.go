package enforcer

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uppercut/enforcer/nft"
)

// The kinds of ways around the rules.
const (
	aroundFlowtable = "flowtable" // our chain cannot stand in front of one
	aroundOffload   = "offload"   // connections are handed to a network card
	aroundBridge    = "bridge"    // packets cross a bridge without netfilter
)

var aroundKinds = []string{aroundFlowtable, aroundOffload, aroundBridge}

// Way is a way around the rules: what blocks do not stop.
type Way struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// Around is what goes past the prerouting chain.
type Around struct {
	// Flowtables are those of all tables, Covered the devices of theirs at whose
	// ingress our rules stand, too.
	Flowtables []string `json:"flowtables,omitempty"`
	Covered    []string `json:"covered,omitempty"`
	Ways       []Way    `json:"ways,omitempty"`
}

// Words are the ways as sentences.
func (a Around) Words() (words []string) {
	for _, w := range a.Ways {
		words = append(words, w.Text)
	}
	return words
}

// around keeps our rules in front of flowtables, and knows what they do not see.
type around struct {
	mu    sync.Mutex
	state Around

	// Of the goroutine of Run.
	found    []Way // at the last look
	bridges  []Way
	bridgeAt time.Time // when bridges were looked for
}

// bridgeInterval is how often bridges are looked for.
const bridgeInterval = 10 * time.Second

// current returns what is known.
func (a *around) current() Around {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// follow looks at flowtables and bridges, and puts our chain where it must be. What
// it finds is told when it finds it twice: devices come and go. It reports whether
// somebody had deleted our chain.
func (a *around) follow(f *nft.Firewall, logger *slog.Logger, now time.Time) (removed bool) {
	o, err := f.Follow()
	if errors.Is(err, unix.ENOENT) {
		err = errors.New("they have just gone") // or our table has: the next look tells
	}
	if now.Sub(a.bridgeAt) >= bridgeInterval {
		a.bridgeAt, a.bridges = now, bridgesAround(f.Config().NetNS)
	}
	ways := slices.Concat(waysAround(o, err), a.bridges)
	sure := slices.DeleteFunc(slices.Clone(ways), func(w Way) bool { return !slices.Contains(a.found, w) })
	a.found = ways
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range sure {
		if !slices.Contains(a.state.Ways, w) {
			logger.Warn("packets of blocked sources may pass", "kind", w.Kind, "how", w.Text)
		}
	}
	if !slices.Equal(o.Covered, a.state.Covered) {
		logger.Info("block rules stand in front of flowtables", "devices", o.Covered)
	}
	a.state = Around{Covered: o.Covered, Ways: sure}
	for _, t := range o.Flowtables {
		a.state.Flowtables = append(a.state.Flowtables, t.String())
	}
	return o.Removed
}

// waysAround says what flowtables let past us; err is why our chain is not in front
// of them.
func waysAround(o nft.Offload, err error) (ways []Way) {
	bare := slices.DeleteFunc(slices.Clone(o.Devices), func(d string) bool { return slices.Contains(o.Covered, d) })
	switch {
	case len(bare) > 0 && err != nil:
		ways = append(ways, Way{aroundFlowtable, fmt.Sprintf(
			"a flowtable forwards at %s without our rules in front of it, so blocks do not end connections in it: %v", strings.Join(bare, ", "), err)})
	case err != nil:
		ways = append(ways, Way{aroundFlowtable, fmt.Sprintf("flowtables may forward without our rules in front of them: %v", err)})
	}
	for _, t := range o.Flowtables {
		if t.Hardware {
			ways = append(ways, Way{aroundOffload, fmt.Sprintf(
				"flowtable %s hands connections to the network card (flags offload), so blocks do not end them", t)})
		}
	}
	return ways
}
