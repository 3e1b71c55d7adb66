package enforcer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var namespaces atomic.Int32

// netns makes a network namespace and removes it when the test ends.
type netns struct {
	name string
	file *os.File
}

func newNetNS(t testing.TB) *netns {
	t.Helper()
	name := fmt.Sprintf("uc-enf-%d-%d", os.Getpid(), namespaces.Add(1))
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { run(t, "ip", "netns", "del", name) })
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &netns{name, f}
}

func (n *netns) fd() int { return int(n.file.Fd()) }

// run runs a command in the namespace.
func (n *netns) run(t testing.TB, args ...string) string {
	t.Helper()
	return run(t, append([]string{"ip", "netns", "exec", n.name}, args...)...)
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// elements is what Debian's nft says is in a set: prefix and seconds left.
func (n *netns) elements(t testing.TB, set string) map[netip.Prefix]int {
	t.Helper()
	out := n.run(t, "nft", "-j", "list", "set", "inet", "uppercut", set)
	elems, err := parseSet([]byte(out))
	if err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return elems
}

func parseSet(out []byte) (map[netip.Prefix]int, error) {
	var doc struct {
		Nftables []struct {
			Set *struct {
				Elem []struct {
					Elem struct {
						Val     json.RawMessage
						Expires int
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return nil, err
	}
	elems := map[netip.Prefix]int{}
	for _, o := range doc.Nftables {
		if o.Set == nil {
			continue
		}
		for _, e := range o.Set.Elem {
			p, err := parseValue(e.Elem.Val)
			if err != nil {
				return nil, err
			}
			elems[p] = e.Elem.Expires
		}
	}
	return elems, nil
}

func parseValue(raw json.RawMessage) (netip.Prefix, error) {
	var addr string
	if json.Unmarshal(raw, &addr) == nil {
		a, err := netip.ParseAddr(addr)
		return netip.PrefixFrom(a, a.BitLen()), err
	}
	var v struct {
		Prefix struct {
			Addr netip.Addr
			Len  int
		}
		Range []netip.Addr
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return netip.Prefix{}, err
	}
	if len(v.Range) > 0 {
		return netip.Prefix{}, fmt.Errorf("%s is no prefix", raw)
	}
	return netip.PrefixFrom(v.Prefix.Addr, v.Prefix.Len), nil
}

// appliance is an Enforcer under test with its Run.
type appliance struct {
	*Enforcer
	stop func()
}

func options(t testing.TB, ns *netns) Options {
	o := Options{StateDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	if ns != nil {
		o.NetNS = ns.fd()
	}
	return o
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(b), "\n"))
	return len(b), nil
}

func start(t testing.TB, c Config, o Options) *appliance {
	t.Helper()
	e, err := New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return runEnforcer(t, e)
}

func runEnforcer(t testing.TB, e *Enforcer) *appliance {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	a := &appliance{Enforcer: e}
	var stopped bool
	a.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(a.stop)
	return a
}

// flush waits until all that was asked for is done.
func (a *appliance) flush() {
	done := make(chan struct{})
	a.Flushed(func() { close(done) })
	<-done
}

// eventually polls until ok or a deadline.
func eventually(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
	return time.Since(start)
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func verdict(p string, d time.Duration) Block {
	now := time.Now()
	return Block{Prefix: prefix(p), At: now, Received: now, Until: now.Add(d), Rule: "burst", Score: 10}
}
