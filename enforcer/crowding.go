package enforcer

import (
	"log/slog"
	"net/netip"
	"time"

	"uppercut/enforcer/blocklist"
)

// makeRoom lets blocks go while the set of newcomer, just inserted, is over its
// size, and tells followers. The caller holds e.mu.
func (e *Enforcer) makeRoom(newcomer netip.Prefix) (touched []netip.Prefix, evicted []Block) {
	touched, evicted = e.list.MakeRoom(newcomer, blocklist.Sizes{Addresses: e.config.MaxAddresses, Networks: e.config.MaxNetworks})
	for i := range evicted {
		cause := causeCapacity
		if evicted[i].Prefix == newcomer {
			cause = causeSetFull
		}
		e.changes.add(&evicted[i], cause)
	}
	return touched, evicted
}

// crowding gathers what a full set lets go, so that it costs a line now and then
// and not one a block.
type crowding struct {
	gone int
	told time.Time
	// lines are those of single blocks since began; of the goroutine that tells
	// ends.
	lines int
	began time.Time
}

// crowdingLines is how many single blocks have a line of their own in a pause.
const crowdingLines = 10

// line reports whether one more block that made room has a line of its own.
func (c *crowding) line(now time.Time) bool {
	if now.Sub(c.began) >= crowdingPause {
		c.lines, c.began = 0, now
	}
	c.lines++
	return c.lines <= crowdingLines
}

// crowdingPause is how often a full set is told of at most.
const crowdingPause = 10 * time.Second

// add notes that n blocks had to make room.
func (c *crowding) add(logger *slog.Logger, n int, now time.Time) {
	if c.gone += n; c.gone == 0 || now.Sub(c.told) < crowdingPause {
		return
	}
	logger.Warn("set is full; evicting the blocks with the lowest scores", "blocks", c.gone)
	c.gone, c.told = 0, now
}
