package enforcer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"uppercut/deploy/netns"
)

// kernel is a network namespace to enforce in; nft looks into it for the test.
type kernel struct{ *netns.Namespace }

func newKernel(t testing.TB) *kernel {
	t.Helper()
	return &kernel{netns.New(t, "enforcer")}
}

// nft runs Debian's nft.
func (k *kernel) nft(t testing.TB, args ...string) string {
	t.Helper()
	out, err := k.Run("nft", args...)
	netns.Must(t, err)
	return out
}

// elements is what Debian's nft says is in a set: prefix and seconds left, 0 without a
// timeout.
func (k *kernel) elements(t testing.TB, set string) map[netip.Prefix]int {
	t.Helper()
	out := k.nft(t, "-j", "list", "set", "inet", "uppercut", set)
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
				Elem []json.RawMessage
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
		for _, raw := range o.Set.Elem {
			var e struct {
				Elem struct {
					Val     json.RawMessage
					Expires int
				}
			}
			if json.Unmarshal(raw, &e) != nil || e.Elem.Val == nil {
				e.Elem.Val = raw // it has no timeout
			}
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

func options(t testing.TB, ns *kernel) Options {
	o := Options{StateDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	if ns != nil {
		o.NetNS = ns.FD()
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
