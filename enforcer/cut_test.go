package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// TestUnblockOfACutNetwork: a network that is in the kernel as pieces is lifted
// like any other, and so is one that is ordered meanwhile.
func TestUnblockOfACutNetwork(t *testing.T) {
	t.Parallel()
	type step struct {
		verb   string
		prefix string
		lasts  time.Duration
	}
	const long, short = 10 * time.Minute, 5 * time.Minute
	for _, test := range []struct {
		name   string
		steps  []step
		lifted []string // by the last step
		kernel []string
	}{
		{"by an allowed address", []step{{"allow", "203.0.113.9/32", 0}, {"block", "203.0.113.0/24", long}, {"unblock", "203.0.113.0/24", 0}}, []string{"203.0.113.0/24"}, nil},
		{"by its first address", []step{{"allow", "203.0.113.0/32", 0}, {"block", "203.0.113.0/24", long}, {"unblock", "203.0.113.0/24", 0}}, []string{"203.0.113.0/24"}, nil},
		{"by its last address", []step{{"allow", "203.0.113.255/32", 0}, {"block", "203.0.113.0/24", long}, {"unblock", "203.0.113.77/32", 0}}, []string{"203.0.113.0/24"}, nil},
		{"by a longer block within", []step{{"block", "198.51.100.0/24", long}, {"block", "198.51.0.0/16", short}, {"unblock", "198.51.0.0/16", 0}}, []string{"198.51.0.0/16", "198.51.100.0/24"}, nil},
		{"by a shorter block within", []step{{"block", "198.51.100.0/24", short}, {"block", "198.51.0.0/16", long}, {"unblock", "198.51.0.0/16", 0}}, []string{"198.51.0.0/16", "198.51.100.0/24"}, nil},
		{"at the same start", []step{{"block", "198.51.0.0/24", long}, {"block", "198.51.0.0/16", short}, {"unblock", "198.51.0.0/16", 0}}, []string{"198.51.0.0/16", "198.51.0.0/24"}, nil},
		{"the wide one alone", []step{{"block", "198.51.0.0/24", long}, {"block", "198.51.0.0/16", short}, {"exactly", "198.51.0.0/16", 0}}, []string{"198.51.0.0/16"}, []string{"198.51.0.0/24"}},
		{"the narrow one alone", []step{{"block", "198.51.0.0/24", long}, {"block", "198.51.0.0/16", short}, {"exactly", "198.51.0.0/24", 0}}, []string{"198.51.0.0/24"}, []string{"198.51.0.0/16"}},
		{"IPv6 by an allowed address", []step{{"allow", "2001:db8::9/128", 0}, {"block", "2001:db8::/48", long}, {"unblock", "2001:db8::/48", 0}}, []string{"2001:db8::/48"}, nil},
		{"a /64 by an allowed address", []step{{"allow", "2001:db8::9/128", 0}, {"block", "2001:db8::/64", long}, {"unblock", "2001:db8::/64", 0}}, []string{"2001:db8::/64"}, nil},
		{"a /64 that was whole", []step{{"block", "2001:db8::/64", long}, {"allow", "2001:db8::9/128", 0}, {"unblock", "2001:db8::/64", 0}}, []string{"2001:db8::/64"}, nil},
		{"part of a /64", []step{{"block", "2001:db8::/96", long}, {"block", "2001:db8::/64", short}, {"unblock", "2001:db8::/64", 0}}, []string{"2001:db8::/64", "2001:db8::/96"}, nil},
	} {
		for _, extend := range []time.Duration{0, time.Minute} {
			t.Run(test.name+"/extend "+extend.String(), func(t *testing.T) {
				ns := newKernel(t)
				c := DefaultConfig()
				c.Extend = extend
				a := start(t, c, options(t, ns))
				ctx := t.Context()
				var lifted []netip.Prefix
				for _, s := range test.steps {
					var err error
					switch p := prefix(s.prefix); s.verb {
					case "allow":
						_, err = a.Allow(ctx, AllowEntry{Prefix: p})
					case "block":
						_, err = a.BlockNow(ctx, "op", "", time.Now().Add(s.lasts), p)
					case "unblock":
						lifted, err = a.Unblock(ctx, "op", "", p)
					default:
						lifted, err = a.UnblockExactly(ctx, "op", "", p)
					}
					if err != nil {
						t.Fatalf("%s %s: %v", s.verb, s.prefix, err)
					}
				}
				slices.SortFunc(lifted, netip.Prefix.Compare)
				if diff := cmp.Diff(prefixes(test.lifted), lifted, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
					t.Errorf("lifted (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.kernel, inKernel(t, ns), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("in the kernel (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestAnOrderWhileTheKernelIsRetried: what ails the kernel for a moment is tried
// again for an order, and not told as its failure.
func TestAnOrderWhileTheKernelIsRetried(t *testing.T) {
	ns := newKernel(t)
	a := start(t, DefaultConfig(), options(t, ns))
	ctx := t.Context()
	stumble := func() {
		t.Helper()
		if err := a.do(ctx, func() error { a.fail(unix.ENOENT); a.kernel.retryAt = time.Now().Add(time.Hour); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	stumble()
	if _, err := a.BlockNow(ctx, "op", "", time.Now().Add(time.Hour), prefix("203.0.113.9/32")); err != nil {
		t.Error(err)
	}
	if got := inKernel(t, ns); !slices.Equal(got, []string{"203.0.113.9/32"}) {
		t.Errorf("in the kernel: %v", got)
	}
	stumble()
	if lifted, err := a.Unblock(ctx, "op", "", prefix("203.0.113.0/24")); err != nil || len(lifted) != 1 {
		t.Error(lifted, err)
	}
	if got := inKernel(t, ns); len(got) > 0 {
		t.Errorf("in the kernel: %v", got)
	}
}
