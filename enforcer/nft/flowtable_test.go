package nft

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"uppercut/deploy/netns"
)

func TestPlace(t *testing.T) {
	here := []string{"lo", "eth0", "eth1", "wan", "br-lan"}
	for name, tt := range map[string]struct {
		tables   []Flowtable
		devices  []string
		priority int32
	}{
		"none":                 {nil, nil, -1},
		"one":                  {[]Flowtable{{Devices: []string{"wan", "br-lan"}}}, []string{"br-lan", "wan"}, -1},
		"what is not there":    {[]Flowtable{{Devices: []string{"wan", "gone"}}}, []string{"wan"}, -1},
		"two, the first wins":  {[]Flowtable{{Devices: []string{"wan"}, Priority: 5}, {Devices: []string{"wan", "eth0"}, Priority: -300}}, []string{"eth0", "wan"}, -301},
		"all of a prefix":      {[]Flowtable{{Devices: []string{"eth*"}, Priority: 10}}, []string{"eth0", "eth1"}, 9},
		"the foremost of all":  {[]Flowtable{{Devices: []string{"wan"}, Priority: -1 << 31}}, []string{"wan"}, -1 << 31},
		"one without a device": {[]Flowtable{{}}, nil, -1},
	} {
		got := place(tt.tables, here)
		if !slices.Equal(got.devices, tt.devices) || got.priority != tt.priority {
			t.Errorf("%s: %+v, want %v at %d", name, got, tt.devices, tt.priority)
		}
	}
}

// What the ingress chain has to do with devices is nobody's doing, and what others
// do to it is.
func TestIngressChain(t *testing.T) {
	ns := newKernel(t)
	c := ns.config()
	c.Extend, c.Ports = time.Minute, []uint16{25}
	f := built(t, c, element("192.0.2.1/32", time.Hour))
	netns.Must(t, ns.IP("link add wan type veth peer name lan"))
	put := func(devices ...string) {
		t.Helper()
		f.write.mu.Lock()
		defer f.write.mu.Unlock()
		_, there, err := f.write.ingress()
		if err == nil {
			err = f.rehook(hook{devices, -11}, there)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sound := func(when string, want ...string) {
		t.Helper()
		if _, kinds, err := f.Check(); err != nil || !slices.Equal(kinds, want) {
			t.Errorf("%s: %v, %v, want %v", when, kinds, err, want)
		}
	}
	put("wan")
	sound("put there")
	put("wan", "lan")
	sound("put elsewhere")
	got := ns.nft(t, "list chain inet uppercut ingress")
	for _, want := range []string{`hook ingress devices = { `, `priority -11`, `ip saddr @block4 counter name "dropped4" drop`, `ip6 saddr @block6_net`, "tcp dport != @mail_ports accept", "update @knock4"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if changed, err := f.Changed(); err != nil || changed {
		t.Errorf("our own change counts as that of others: %v, %v", changed, err)
	}
	ns.nft(t, "flush chain inet uppercut ingress")
	sound("flushed", "rules")
	put("wan", "lan")
	netns.Must(t, ns.IP("link del wan")) // and lan with it
	sound("without devices")
	o, err := f.Follow() // nobody has a flowtable
	if err != nil || len(o.Flowtables)+len(o.Covered) > 0 {
		t.Errorf("%+v, %v", o, err)
	}
	sound("taken away")
	if got := ns.nft(t, "list table inet uppercut"); strings.Contains(got, "ingress") {
		t.Errorf("it is still there:\n%s", got)
	}
	ns.nft(t, "add chain inet uppercut more")
	sound("somebody's chain", "table")
}

// A table is made with its ingress chain, and without one that the kernel refuses.
func TestReplaceWithIngress(t *testing.T) {
	ns := newKernel(t)
	f := open(t, ns.config())
	elems := slices.Values([]Element{element("192.0.2.1/32", time.Hour)})
	for device, refused := range map[string]bool{"lo": false, "no-device-has-such-a-name": true} {
		f.write.mu.Lock()
		err := f.replaceAll([2]Drops{}, hook{[]string{device}, -1}, elems)
		h, there, asked := f.write.ingress()
		f.write.mu.Unlock()
		if asked != nil || refusesHook(err) != refused || there && !cmp.Equal(h.devices, []string{"lo"}) {
			t.Errorf("%s: %v, %+v, %v", device, err, h, asked)
		}
	}
}

func TestLinks(t *testing.T) {
	ns := newKernel(t)
	netns.Must(t, ns.IP("link add br0 type bridge", "link add wan type veth peer name lan", "link set lan master br0"))
	links, err := Links(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Link{}
	for _, l := range links {
		byName[l.Name] = l
	}
	if b, l := byName["br0"], byName["lan"]; b.Kind != "bridge" || l.Master != b.Index || l.Kind != "veth" || byName["wan"].Master != 0 || byName["lo"].Index != 1 {
		t.Errorf("%+v", links)
	}
}
