package appliance

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"uppercut/cmd/uppercut/config"
	"uppercut/detector"
	"uppercut/receiver"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// What the parts take at most, in bytes, where the configuration gives their
// number. docs/limits.md has them in words.
const (
	programBytes  = 64 * mib  // code, runtime, metrics, page, guard, lists of senders
	hostBytes     = 256 * kib // a mail host: its last lines, its contacts
	hostsKept     = 1024      // hosts and sessions that the detector keeps
	sessionsBytes = 64 * mib  // open SMTP sessions of all hosts
	sourceBytes   = 256       // a watched source, on average
	blockBytes    = 256       // a block, in the list, in the queue, on its way
	streamBytes   = 8 * kib   // a connection beside its buffer
	secureBytes   = 32 * kib  // TLS on top of it
	owedBytes     = 64 * kib  // what a RELP session is owed, being written, not judged
	webBytes      = 128 * kib // a web connection and its request
	eventBytes    = 2 * kib   // an event that waits for a sink
	feedBytes     = 200       // an entry of the list in the feed
	feedLogBytes  = 64 * mib  // its last changes, and what is no more
	batchesInHand = receiver.MaxBatches + queueBatches
)

// Budget is how much memory the process takes at most, in bytes, if every limit
// of the configuration is reached.
type Budget struct {
	parts  []budgetPart
	kernel int // buffers of datagram sockets, which are charged to us
}

// budgetPart is the share of one thing.
type budgetPart struct {
	what  string
	bytes int
}

// MemoryBudget adds up what c allows.
func MemoryBudget(c *config.Config) Budget {
	r := &c.Receiver
	var b Budget
	add := func(what string, bytes int) { b.parts = append(b.parts, budgetPart{what, bytes}) }
	add("program", programBytes)
	add("mail hosts and sessions", hostsKept*hostBytes+sessionsBytes)
	add("detector.max_sources", c.Detector.MaxSources*sourceBytes)
	add("detector.evidence_bytes", c.Detector.EvidenceBytes)
	add("enforcer.max_addresses, enforcer.max_networks", 2*(c.Enforcer.MaxAddresses+c.Enforcer.MaxNetworks)*blockBytes)
	add("receiver.max_connections", connectionsBytes(r))
	line := int(unsafe.Sizeof(detector.Line{}) + unsafe.Sizeof(receiver.Message{}))
	add("lines on their way to the judge", batchesInHand*(receiver.MaxBatch*line+bufferBytes(r)))
	if c.Web.Listen != "" {
		add("web.max_connections", c.Web.MaxConnections*webBytes)
	}
	if c.Events.Webhook.URL != "" {
		add("events.webhook.queue", c.Events.Webhook.Queue*eventBytes)
	}
	if c.Events.Syslog.Address != "" {
		add("events.syslog.queue", c.Events.Syslog.Queue*eventBytes)
	}
	if c.Feed.Listen != "" || c.Feed.Zones.Directory != "" {
		add("feed", 2*(c.Enforcer.MaxAddresses+c.Enforcer.MaxNetworks)*feedBytes+feedLogBytes)
	}
	if c.Feed.Listen != "" {
		add("feed.max_connections", c.Feed.MaxConnections*webBytes)
	}
	b.kernel = 2 * r.ReceiveBuffer * (len(r.UDP)*udpReaders(r) + len(r.Unix))
	return b
}

// connectionsBytes is what all connections of senders take.
func connectionsBytes(r *receiver.Config) int {
	one := 0
	if len(r.TCP) > 0 {
		one = streamBytes
	}
	if len(r.RELP)+len(r.TLS.RELPListen) > 0 {
		one = streamBytes + owedBytes
	}
	if len(r.TLS.Listen)+len(r.TLS.RELPListen) > 0 {
		one = max(one, streamBytes) + secureBytes
	}
	if one == 0 {
		return 0
	}
	return r.MaxConnections * (one + bufferBytes(r))
}

// bufferBytes is the largest buffer of a connection.
func bufferBytes(r *receiver.Config) int { return max(r.MaxMessageSize, 32*kib) }

func udpReaders(r *receiver.Config) int {
	return cmp.Or(r.Readers, min(runtime.GOMAXPROCS(0), 4))
}

// heap is what the parts take together.
func (b Budget) heap() (sum int) {
	for _, p := range b.parts {
		sum += p.bytes
	}
	return sum
}

// goLimit is what the Go runtime is told to stay below: a quarter more than
// what is in use, so that it need not collect all the time.
func (b Budget) goLimit() int { return b.heap() / 4 * 5 }

// total is what the process is charged with at most: MemoryMax of the unit. It
// is rounded up to 256 MiB.
func (b Budget) total() int {
	const step = 256 * mib
	return (b.goLimit() + b.kernel + b.goLimit()/16 + step - 1) / step * step
}

// goLimitWithin is goLimit where there is only so much memory; what the sockets
// may take is left to them, half of it at most.
func (b Budget) goLimitWithin(available int) int {
	left := (available - min(b.kernel, available/2)) / 10 * 9
	return min(b.goLimit(), left)
}

// limitMemory tells the Go runtime how much memory there is, unless GOMEMLIMIT
// in the environment has, and warns if it is less than the configuration may
// take.
func (a *Appliance) limitMemory(c *config.Config) {
	b := MemoryBudget(c)
	available, source := availableMemory("/")
	a.metrics.memoryBudget.Set(float64(b.total()))
	a.metrics.memoryAvailable.Set(float64(available))
	if available < b.total() {
		a.logger.Warn("less memory than the configured limits may need; see docs/limits.md",
			"available", byteSize(available), "of", source, "limits", byteSize(b.total()), "largest", b.largest().what)
	}
	if !slices.ContainsFunc(a.options.Source.Environ, func(e string) bool { return strings.HasPrefix(e, "GOMEMLIMIT=") }) {
		debug.SetMemoryLimit(int64(b.goLimitWithin(available)))
	}
}

// largest is the part that takes most.
func (b Budget) largest() budgetPart {
	return slices.MaxFunc(b.parts, func(x, y budgetPart) int { return cmp.Compare(x.bytes, y.bytes) })
}

// Print writes the budget for people.
func (b Budget) Print(w io.Writer) {
	fmt.Fprintf(w, "uppercut: memory: %s at most when every limit is reached (MemoryMax=%dM); most of it for %s, %s\n",
		byteSize(b.total()), b.total()/mib, b.largest().what, byteSize(b.largest().bytes))
}

// byteSize writes a number of bytes as people read it.
func byteSize(n int) string {
	switch {
	case n >= 1024*mib:
		return strconv.FormatFloat(float64(n)/(1024*mib), 'f', 1, 64) + " GiB"
	default:
		return strconv.Itoa((n+mib-1)/mib) + " MiB"
	}
}

// availableMemory returns the smallest of the limits of our control groups and
// the memory of the machine, and which it is. root is "/", but for tests.
func availableMemory(root string) (bytes int, source string) {
	bytes, source = machineMemory(root), "the machine"
	for _, limit := range groupLimits(root) {
		if limit > 0 && limit < bytes {
			bytes, source = limit, "the control group"
		}
	}
	return bytes, source
}

func machineMemory(root string) int {
	text, _ := os.ReadFile(filepath.Join(root, "proc/meminfo")) // without it nothing is known, and nothing limited
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB")); err == nil {
				return n * kib
			}
		}
	}
	return math.MaxInt
}

// groupLimits returns the limits of the control groups that we are in, from our
// own to the topmost, of version 2 and 1 (Documentation/admin-guide/cgroup-v2.rst
// and cgroup-v1/memory.rst of Linux).
func groupLimits(root string) (limits []int) {
	text, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for group := parts[2]; ; group = filepath.Dir(group) {
			if parts[1] == "" {
				limits = append(limits, readLimit(filepath.Join(root, "sys/fs/cgroup", group, "memory.max")))
			} else if slices.Contains(strings.Split(parts[1], ","), "memory") {
				limits = append(limits, readLimit(filepath.Join(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes")))
			}
			if group == "/" || group == "." || group == "" {
				break
			}
		}
	}
	return limits
}

// readLimit returns the number in a file, 0 if there is none.
func readLimit(name string) int {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text))) // "max" is none
	if err != nil {
		return 0
	}
	return n
}
