// Command lab brings the end-to-end fleet up for people to watch: it attacks
// round after round until Ctrl-C, and then removes everything. Root is needed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"uppercut/deploy/lab"
)

// rest is the time between rounds.
const rest = 15 * time.Second

func main() {
	uppercut := flag.String("uppercut", "bin/uppercut", "the binary to run on the gateway")
	picture := flag.String("screenshot", "", "write a picture of the page after one round to this `file`, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *uppercut, *picture); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, uppercut, picture string) (err error) {
	binary, err := filepath.Abs(uppercut)
	if err != nil {
		return err
	}
	fmt.Println("bringing up three mail hosts, the gateway and the Internet ...")
	l, err := lab.Up(lab.Options{Uppercut: binary})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Println("\ntaking everything down ...")
		if downErr := l.Down(); err == nil {
			err = downErr
		}
	}()
	if picture != "" {
		return screenshot(ctx, l, picture)
	}
	if err := guide(l, binary); err != nil {
		return err
	}
	return attack(ctx, l)
}

// guide prints how to watch.
func guide(l *lab.Lab, binary string) error {
	page, err := l.Expose(lab.Page)
	if err != nil {
		return err
	}
	prometheus, err := l.Expose(lab.Prometheus)
	if err != nil {
		return err
	}
	gateway := "ip netns exec " + l.Gateway().Name()
	fmt.Printf(`
the page            %s (user lab, password lab)
Prometheus          %sgraph?g0.expr=sum+by+(host,reason)+(rate(uppercut_rejections_total[1m]))&g0.tab=0
what is blocked     %s nft list set inet uppercut block4
as it happens       %s nft monitor new elements
ask uppercut        %s %s --config %s status
what mx1 logs       tail -f %s

Ctrl-C ends it all.

`, page, prometheus, gateway, gateway, gateway, binary, filepath.Join(l.Dir, "uppercut.yaml"), filepath.Join(l.Dir, "mx1", "maillog"))
	return nil
}

// attack goes on until ctx ends.
func attack(ctx context.Context, l *lab.Lab) error {
	for round := 1; ctx.Err() == nil; round++ {
		fmt.Printf("round %d: new attackers, new honest senders\n", round)
		report, err := l.Attack(ctx, lab.Size{Guilty: 3, Petty: 1, Honest: 8})
		if ctx.Err() != nil {
			return nil // what the interrupted round says is no error
		}
		if err != nil {
			return err
		}
		report.Write(os.Stdout)
		fmt.Println()
		select {
		case <-time.After(rest):
		case <-ctx.Done():
		}
	}
	return nil
}
