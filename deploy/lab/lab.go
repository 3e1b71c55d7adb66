package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
)

// Options say what to bring up.
type Options struct {
	// Uppercut is the path of the binary under test.
	Uppercut string
}

// Lab is a running fleet. Down must be called.
type Lab struct {
	// Dir holds configuration, logs and state of everything, for people; Down
	// removes it.
	Dir string

	net       *network
	land      *neighbourhoods
	processes []*process
	closers   []func() error
	watcher   *watcher
}

// Up starts everything and returns when the fleet takes mail. On error
// nothing stays.
func Up(o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root, for its network namespaces")
	}
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", namePrefix, os.Getpid()))
	if err != nil {
		return nil, err
	}
	l := &Lab{Dir: dir, land: newNeighbourhoods()}
	if err := l.up(o); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

func (l *Lab) up(o Options) (err error) {
	// sendmail drops its privileges and must still get through.
	if err := os.Chmod(l.Dir, 0o755); err != nil {
		return err
	}
	if l.net, err = buildNetwork(); err != nil {
		return err
	}
	authority, err := certs.NewAuthority("uppercut lab CA")
	if err != nil {
		return err
	}
	if err := l.serveGateway(); err != nil {
		return err
	}
	if err := l.startUppercut(o.Uppercut, authority); err != nil {
		return err
	}
	if err := l.watchFirewall(); err != nil {
		return err
	}
	if err := l.startFleet(authority); err != nil {
		return err
	}
	return l.startPrometheus()
}

// serveGateway starts what the mail hosts need: DNS, a next hop, a milter.
func (l *Lab) serveGateway() error {
	dns, err := l.net.gateway.ListenPacket("udp", net.JoinHostPort(gatewayAddr.String(), "53"))
	if err != nil {
		return err
	}
	l.closers = append(l.closers, dns.Close)
	go serveDNS(dns)
	hub, err := l.net.gateway.Listen("tcp", net.JoinHostPort(gatewayAddr.String(), "25"))
	if err != nil {
		return err
	}
	l.closers = append(l.closers, hub.Close)
	go serveNextHop(hub)
	milter, err := net.Listen("unix", l.milterSocket())
	if err != nil {
		return err
	}
	l.closers = append(l.closers, milter.Close)
	go serveMilter(milter)
	// sendmail refuses a socket that others may write to.
	return os.Chmod(l.milterSocket(), 0o600)
}

func (l *Lab) milterSocket() string { return filepath.Join(l.Dir, "milter.sock") }

// startFleet brings the mail hosts up, all at once.
func (l *Lab) startFleet(authority *certs.Authority) error {
	started := make([]*process, len(hosts))
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() {
			dir := filepath.Join(l.Dir, host.name)
			started[i], errs[i] = startMailHost(host, l.net.hosts[host.name], dir, l.milterSocket(), authority)
		})
	}
	all.Wait()
	for _, p := range started {
		if p != nil {
			l.processes = append(l.processes, p)
		}
	}
	return errors.Join(errs...)
}

// Gateway is the namespace in which uppercut, nftables and Prometheus are.
func (l *Lab) Gateway() *netns.Namespace { return l.net.gateway }

// Attack lets a new crowd loose on the fleet, and reports when all are done.
func (l *Lab) Attack(ctx context.Context, size Size) (*Report, error) {
	begun := time.Now()
	accounts := attack(ctx, l.net.internet, l.land.cast(size))
	return l.report(accounts, time.Since(begun))
}

// Down ends every process and removes namespaces and files.
func (l *Lab) Down() error {
	for _, p := range slices.Backward(l.processes) { // uppercut last, so that it need not wait for senders
		if p.name == "uppercut" {
			p.stop(10 * time.Second)
			continue
		}
		p.kill()
	}
	var errs []error
	for _, closer := range l.closers {
		errs = append(errs, closer())
	}
	if l.net != nil {
		errs = append(errs, l.net.remove())
	}
	if err := errors.Join(append(errs, os.RemoveAll(l.Dir))...); err != nil {
		return fmt.Errorf("take the lab down: %w", err)
	}
	return nil
}
