// Attack plays senders and visitors that mean harm against an uppercut serve of
// its own, each in a network namespace and a control group that are made for it,
// and prints what came of it: the peak of memory, what an honest mail host beside
// lost, how long a right lasts that was taken away.
//
//	go run ./deploy/attack [-uppercut bin/uppercut] [-for 10s] [-memory 1024] [NAME...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// attack is one way to do harm. run returns when ctx has ended, or before.
type attack struct {
	name, what string
	run        func(context.Context, *target, *result) error
}

// setting is what an attack needs that is not the packaged configuration.
type setting struct {
	alone   bool   // uppercut is ended on the way: no honest mail host beside
	extra   string // sections of the configuration
	stalled bool   // its log goes into a pipe that nobody reads
}

// settings by the names of attacks.
var settings = map[string]setting{
	"full-set":    {extra: "enforcer: {max_addresses: 2000}\n"},
	"enforcer":    {extra: unlimited},
	"full-disk":   {alone: true},
	"flips":       {alone: true},
	"crash-loop":  {alone: true},
	"stalled-log": {stalled: true},
}

// unlimited lets one mail host alone block as many as it likes.
const unlimited = "detector: {ceiling: {host_passes: 1000000}}\n"

// result is what came of an attack.
type result struct {
	attack   attack
	duration time.Duration // for which it may go on
	running  sync.WaitGroup

	peak             int   // bytes resident
	killed           bool  // uppercut has ended
	honest, lost     int64 // messages of an honest sender
	core             float64
	revoked, page    time.Duration
	stays            int // connections that outlast their right
	partnersBlocked  int // clients whose mail another host takes
	guiltyFree       int // of ten whom an honest host has reported
	evicted          int // blocks that an honest host reported, and that are gone
	forgotten        int // blocks that were acknowledged and not saved
	silent           int // changes of the ledger that are not told
	scoresLost       int // clients whose first offences were forgotten
	notBlocked       int // offenders who are free while nobody reads the log
	problem          error
	honestConnection error
}

func attacks() []attack {
	return []attack{
		{"relp-commands", "RELP commands that do not exist, answers unread", relp("1 a 0\n", true)},
		{"relp-empty", "empty RELP messages, answers unread", relp("1 syslog 0\n", true)},
		{"relp-opens", "RELP opens that are refused, without a session", relp("1 open 0\n", false)},
		{"relp-messages", "RELP messages, answers unread", relp("1 syslog 44 <22>Nov 30 12:00:00 mx1 sendmail[1]: message\n", true)},
		{"tiny-frames", "frames of two bytes over 64 connections", tinyFrames},
		{"half-messages", "4,000 connections in the middle of a long message", halfMessages},
		{"silent", "6,000 silent connections", silent},
		{"sources", "refusals of ever new clients, one key", lines(relayRefused, 1)},
		{"blocks", "pre-greeting traffic of ever new clients, one key", lines(preGreeting, 2)},
		{"enforcer", "the same, where one key may block as many as it likes", lines(preGreeting, 2)},
		{"many-names", "200 partners of another host accused by one key as 50 hosts", manyNames},
		{"fill-hosts", "1,040 invented hosts, then a new host that is broken and one that is not", fillHosts},
		{"full-set", "a set of 2,000 filled by one key, over 400 blocks that an honest host reported", fullSet},
		{"full-disk", "300 clients reported over RELP while the disk is full, then kill -9", fullDisk},
		{"flips", "an empty ledger, and bits of its records flipped", flips},
		{"crash-loop", "kill -9 soon after each of three starts", crashLoop},
		{"stalled-log", "standard error that nobody reads, and whose reader then ends", stalledLog},
		{"guess", "100 connections that guess passwords", guess},
		{"idle-pages", "3,000 idle connections of the page", idlePages},
		{"revoke", "rights taken away from open connections", revoke},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "attack:", err)
		os.Exit(1)
	}
}

// run plays the attacks that args name, all by default. The error says which
// were harmful.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("attack", flag.ContinueOnError)
	program := flags.String("uppercut", "bin/uppercut", "the `program` to attack")
	duration := flags.Duration("for", 10*time.Second, "how long each attack goes on")
	memory := flags.Int("memory", 1024, "`MiB` of the control group; 0 is no limit")
	if err := flags.Parse(args); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "attack\tpeak\thonest messages\tlost\tmore\twhat")
	var harm error
	for _, a := range attacks() {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), a.name) {
			continue
		}
		r := play(ctx, a, *program, *memory<<20, *duration)
		fmt.Fprintf(table, "%s\t%d MB\t%d\t%d\t%s\t%s\n", a.name, r.peak/1_000_000, r.honest, r.lost, r.more(), a.what)
		if err := r.harm(); err != nil {
			harm = errors.Join(harm, fmt.Errorf("%s: %w", a.name, err))
		}
	}
	return harm
}

// play plays one attack, with an honest mail host beside.
func play(ctx context.Context, a attack, program string, memory int, duration time.Duration) *result {
	r := &result{attack: a, duration: duration}
	t, err := startTarget(ctx, program, memory, settings[a.name])
	if err != nil {
		r.problem = err
		return r
	}
	defer func() { r.problem = errors.Join(r.problem, t.stop()) }()
	var host honest
	hostCtx, stopHost := context.WithCancel(ctx)
	defer stopHost()
	done := make(chan error, 1)
	if settings[a.name].alone {
		done <- nil
	} else {
		go func() { done <- host.run(hostCtx, t) }()
	}
	attackCtx, end := context.WithTimeout(ctx, duration)
	defer end()
	r.problem = a.run(attackCtx, t, r)
	r.peak = max(r.peak, t.peak())
	stopHost()
	r.honestConnection = <-done
	r.honest = host.sent.Load()
	r.lost = r.honest - host.answered.Load()
	if r.killed = !t.alive(); r.killed {
		r.problem = errors.Join(r.problem, fmt.Errorf("uppercut has ended: %s", t.said()))
	}
	return r
}

// counted says what has gone wrong so many times.
func (r *result) counted() (all []string) {
	for _, harm := range []struct {
		count int
		what  string
	}{
		{r.stays, "of 3 connections outlast their right"},
		{r.partnersBlocked, "partners are blocked"},
		{r.guiltyFree, "of 10 guilty are not blocked"},
		{r.evicted, "genuine blocks are evicted"},
		{r.forgotten, "blocks were acknowledged and are lost"},
		{r.silent, "changes of the ledger are not told"},
		{r.scoresLost, "scores are lost"},
		{r.notBlocked, "offenders are not blocked"},
	} {
		if harm.count > 0 {
			all = append(all, fmt.Sprintf("%d %s", harm.count, harm.what))
		}
	}
	return all
}

// more is what is measured in some attacks only.
func (r *result) more() string {
	harm := strings.Join(r.counted(), ", ")
	switch {
	case r.killed:
		return strings.TrimPrefix(harm+", killed", ", ")
	case harm != "":
		return harm
	case r.core > 0:
		return fmt.Sprintf("%.0f %% of a core", 100*r.core)
	case r.revoked > 0:
		return fmt.Sprintf("rights ended within %v", r.revoked.Round(time.Millisecond))
	case r.page > 0:
		return fmt.Sprintf("page after %v", r.page.Round(time.Millisecond))
	}
	return "-"
}

// mostCore is the most that guessing may take of a core. On a quiet machine it
// takes a fifth; a busy one counts more for the same work. The tests of the page
// hold how many passwords are checked.
const mostCore = 0.9

// harm returns what must not be.
func (r *result) harm() error {
	var all []error
	if r.lost > 0 {
		all = append(all, fmt.Errorf("%d honest messages lost", r.lost))
	}
	for _, harm := range r.counted() {
		all = append(all, errors.New(harm))
	}
	if r.core > mostCore {
		all = append(all, fmt.Errorf("guessing takes %.0f %% of a core", 100*r.core))
	}
	if r.page > 5*time.Second {
		all = append(all, fmt.Errorf("the page answers after %v", r.page))
	}
	return errors.Join(append(all, r.problem, r.honestConnection)...)
}
