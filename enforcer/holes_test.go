package enforcer

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/enforcer/guard"
)

// guarded is an Enforcer, without a kernel, that asks a guard as the appliance
// does.
type guarded struct {
	*appliance
	guard  *guard.Guard
	config guard.Config
}

func startGuarded(t *testing.T, allow ...string) *guarded {
	t.Helper()
	g := &guarded{config: guard.DefaultConfig()}
	g.config.Allow = allow
	tell := func(changed []netip.Prefix) {
		if g.appliance != nil {
			if err := g.Recheck(t.Context(), changed...); err != nil {
				t.Error(err)
			}
		}
	}
	var err error
	g.guard, err = guard.New(t.Context(), g.config, guard.Options{
		Static: true, OnChange: func(_ string, added []netip.Prefix) { tell(added) }, OnEnd: tell,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{StateDir: t.TempDir(), Observe: true, Exempt: g.guard.Exempt, Holes: g.guard.Holes}
	g.appliance = start(t, DefaultConfig(), o)
	return g
}

func (g *guarded) allow(t *testing.T, entries ...string) {
	t.Helper()
	g.config.Allow = entries
	if err := g.guard.Reload(g.config); err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) block(t *testing.T, ps ...string) {
	t.Helper()
	if refused, err := g.BlockNow(t.Context(), "op", "", time.Now().Add(time.Hour), prefixes(ps)...); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
}

func prefixes(texts []string) (ps []netip.Prefix) {
	for _, s := range texts {
		ps = append(ps, prefix(s))
	}
	return ps
}

// open returns those of addrs that no element of the kernel would drop.
func (g *guarded) open(addrs ...string) (open []string) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		single := netip.PrefixFrom(a, a.BitLen())
		_, piece := g.list.PieceAround(single)
		source := netip.PrefixFrom(a, g.list.SourceBits(single)).Masked()
		if !piece && g.list.Want(source) == 0 {
			open = append(open, s)
		}
	}
	return open
}

func TestHolesFollowTheAllowList(t *testing.T) {
	addrs := []string{"203.0.113.7", "203.0.113.8", "2001:db8:1:2::7"}
	blocked := []string{"203.0.113.0/24", "2001:db8:1:2::/64"}
	for _, test := range []struct {
		name   string
		before []string
		change func(t *testing.T, g *guarded)
		open   []string
	}{
		{"nothing changes", addrs, func(*testing.T, *guarded) {}, addrs},
		{"a reload takes all away", addrs, func(t *testing.T, g *guarded) { g.allow(t) }, nil},
		{"a reload takes one away", addrs, func(t *testing.T, g *guarded) { g.allow(t, addrs[1:]...) }, addrs[1:]},
		{"a reload adds", nil, func(t *testing.T, g *guarded) { g.allow(t, addrs...) }, addrs},
		{"a range becomes narrower", []string{"203.0.113.0-203.0.113.127"}, func(t *testing.T, g *guarded) { g.allow(t, "203.0.113.8") }, addrs[1:2]},
		{"one entry lay in another", []string{"203.0.113.0/28", "203.0.113.7"}, func(t *testing.T, g *guarded) { g.allow(t, "203.0.113.7") }, addrs[:1]},
		{"blocked anew after it", addrs, func(t *testing.T, g *guarded) {
			g.allow(t)
			if _, err := g.Unblock(t.Context(), "op", "", prefixes(blocked)...); err != nil {
				t.Fatal(err)
			}
			g.block(t, blocked...)
		}, nil},
		{"it lay in an allowed network", []string{"203.0.112.0/23"}, func(t *testing.T, g *guarded) {
			g.allow(t, "203.0.112.0/24", "203.0.113.8")
			g.block(t, blocked...)
		}, addrs[1:2]},
		{"allowed by hand, too, and no longer", addrs, func(t *testing.T, g *guarded) {
			p := prefix(addrs[0] + "/32")
			g.guard.Allow(p, time.Time{})
			if _, err := g.Allow(t.Context(), AllowEntry{Prefix: p}); err != nil {
				t.Fatal(err)
			}
			g.guard.Disallow(p)
			if _, err := g.Disallow(t.Context(), "op", "", p); err != nil {
				t.Fatal(err)
			}
		}, addrs},
		{"allowed by hand and no longer", nil, func(t *testing.T, g *guarded) {
			p := prefix(addrs[0] + "/32")
			g.guard.Allow(p, time.Time{})
			if _, err := g.Allow(t.Context(), AllowEntry{Prefix: p}); err != nil {
				t.Fatal(err)
			}
			if got := g.open(addrs...); !slices.Equal(got, addrs[:1]) {
				t.Errorf("while it is allowed, open are %v", got)
			}
			g.guard.Disallow(p)
			if _, err := g.Disallow(t.Context(), "op", "", p); err != nil {
				t.Fatal(err)
			}
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := startGuarded(t, test.before...)
			if _, cause := g.guard.Holes(prefix(blocked[0])); cause == "" {
				g.block(t, blocked...)
			}
			test.change(t, g)
			if diff := cmp.Diff(test.open, g.open(addrs...)); diff != "" {
				t.Errorf("open addresses (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAHoleStaysInWhatMustNotBeBlocked: as long as a block that has become
// exempt is still on the list, nothing allowed in it is dropped.
func TestAHoleStaysInWhatMustNotBeBlocked(t *testing.T) {
	cause := ""
	holes := []netip.Prefix{prefix("203.0.113.7/32")}
	o := Options{StateDir: t.TempDir(), Observe: true, Holes: func(netip.Prefix) ([]netip.Prefix, string) {
		if cause != "" {
			return nil, cause
		}
		return holes, ""
	}}
	g := &guarded{appliance: start(t, DefaultConfig(), o)}
	g.block(t, "203.0.113.0/24")
	err := g.do(t.Context(), func() error {
		cause = guard.CauseSSHPeer
		exempt, touched := g.refit(prefixes([]string{"203.0.113.9/32"}), g.list.Overlapping(prefixes([]string{"203.0.113.9/32"})))
		if len(touched) > 0 || !slices.Equal(exempt[cause], prefixes([]string{"203.0.113.0/24"})) {
			t.Errorf("touched %v, exempt %v", touched, exempt)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.open("203.0.113.7", "203.0.113.8"); !slices.Equal(got, []string{"203.0.113.7"}) {
		t.Errorf("open are %v", got)
	}
}
