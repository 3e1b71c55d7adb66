package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"uppercut/deploy/loggen"

	"uppercut/deploy/netns"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run of the program.
type bench struct {
	uppercut string // the binary
	against  string // another build of it, instead of rivals; "" for none
	dir      string // removed at the end
	scale    float64
	huge     bool // also what takes a quarter of an hour
	stderr   io.Writer
}

// row makes a contest, with the files that it needs.
type row struct {
	name, about string
	contest     func(*bench) (*contest, error)
}

var rows = []row{
	{"replay", "a log of a day, judged", func(b *bench) (*contest, error) {
		return b.replay("replay", "A log of a quiet day: %s lines, one in five an offence", loggen.DefaultConfig().Abuse)
	}},
	{"replay-attack", "a log under attack, judged", func(b *bench) (*contest, error) {
		return b.replay("replay-attack", "A log under attack: %s lines, half of them offences", 0.7)
	}},
	{"tcp", "live over TCP, from frame to verdict", liveRow("tcp", 4_000_000)},
	{"tls", "live over TLS", liveRow("tls", 1_000_000)},
	{"relp", "live over RELP", liveRow("relp", 1_000_000)},
	{"udp-burst", "a burst of datagrams", udpRow("udp-burst", "A burst of %s datagrams, as fast as they can be sent", 50_000, 0)},
	{"udp-steady", "datagrams for a minute", udpRow("udp-steady", "%s datagrams, 100,000 a second", 6_000_000, 100_000)},
	{"latency", "line to kernel under load", latencyRow("latency", "From the deciding line to the kernel, while 10,000 offences a second arrive",
		storm{offences: 100_000, rate: 10_000, probes: 1000, every: 10 * time.Millisecond})},
	{"latency-idle", "line to kernel without load", latencyRow("latency-idle", "From the deciding line to the kernel, when nothing else arrives",
		storm{probes: 100, every: 100 * time.Millisecond})},
	{"blocks", "a list of blocks to the kernel", blocksRow},
	{"packets", "packets through the sets", packetsRow},
	{"drift", "repair of a damaged table", driftRow},
	{"sources", "memory and time of many sources", sourcesRow},
	{"growth-lines", "cost of a line by length of the log", growthLines},
	{"growth-sources", "cost of an offence by number of sources", growthSources},
	{"growth-blocks", "cost of a block by their number", growthBlocks},
	{"growth-hosts", "cost of a message by number of hosts", growthHosts},
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	b := &bench{stderr: stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&b.uppercut, "uppercut", "bin/uppercut", "the binary to measure")
	flags.StringVar(&b.against, "against", "", "another build of uppercut, with which it is compared instead of with rivals")
	flags.Float64Var(&b.scale, "scale", 1, "size of it all: counts of lines, blocks and so on are multiplied by it")
	rounds := flags.Int("rounds", 5, "how often each contest is held")
	names := flags.String("rows", "", "which rows, with commas between them; all if empty: "+rowNames())
	flags.BoolVar(&b.huge, "huge", false, "let the log grow to 100 million lines, which takes some ten minutes more")
	soak := flags.Duration("soak", 0, "instead of the tables, load the appliance for so long; the exit code says whether it stood it")
	rate := flags.Int("rate", 100_000, "messages a second of the soak")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*names)
	if err != nil {
		return err
	}
	if *rounds < 1 || b.scale <= 0 {
		return fmt.Errorf("-rounds %d, -scale %v: must be positive", *rounds, b.scale)
	}
	if b.uppercut, err = executable(b.uppercut); err != nil {
		return err
	}
	if b.against != "" {
		if b.against, err = executable(b.against); err != nil {
			return err
		}
	}
	netns.Sweep(namePrefix) // of those that were killed
	if b.dir, err = os.MkdirTemp("", "uppercut-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if err := b.certify(); err != nil {
		return err
	}
	if *soak > 0 {
		return b.soak(ctx, *soak, *rate, stdout)
	}
	return b.play(ctx, chosen, *rounds, stdout)
}

// executable returns the whole path of a program that can be run.
func executable(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return exec.LookPath(path)
}

func (b *bench) play(ctx context.Context, chosen []row, rounds int, stdout io.Writer) error {
	b.printMachine(ctx, stdout, rounds)
	for _, r := range chosen {
		fmt.Fprintf(b.stderr, "%s ...\n", r.name)
		held := r.contest
		if b.against != "" {
			held = func(b *bench) (*contest, error) { return b.duel(r) }
		}
		c, err := held(b)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		outcomes, err := c.play(ctx, rounds)
		if err != nil {
			return err
		}
		printTable(stdout, c, outcomes)
		if b.against != "" {
			printRatios(stdout, outcomes)
		}
	}
	return nil
}

// choose returns the rows of these names, all for "".
func choose(names string) ([]row, error) {
	if names == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-rows: %q is not one of %s", name, rowNames())
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

func rowNames() string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return strings.Join(names, ",")
}

// count scales a number of lines, blocks or whatever: to one at least, unless
// there are to be none.
func (b *bench) count(full int) int { return max(min(1, full), int(float64(full)*b.scale)) }
