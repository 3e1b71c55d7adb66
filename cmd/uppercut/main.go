// Command uppercut is a syslog appliance that lets a mail fleet hit back: it
// receives the logs of sendmail hosts, scores the clients that they refused and
// drops the worst at the gateway.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // zones by name, also where the machine or the image has no database
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
