package nft

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Ingress is our second chain, there while anybody has a flowtable. Packets of the
// connections in a flowtable never come to prerouting: it forwards them where its
// devices receive them. So the same rules stand at ingress of these devices, in
// front of it.
const Ingress = "ingress"

// Attributes and values of uapi/linux/netfilter/nf_tables.h that package unix lacks.
const (
	nfInetIngress         = 5 // NF_INET_INGRESS (Linux 5.10)
	nftaHookDevs          = 4
	nftaDeviceName        = 1
	nftaDevicePrefix      = 2 // "eth" for eth*
	nftaFlowtableTable    = 1
	nftaFlowtableName     = 2
	nftaFlowtableHook     = 3
	nftaFlowtableHookPrio = 2
	nftaFlowtableHookDevs = 3
	nftaFlowtableFlags    = 7
	nftFlowtableHWOffload = 1
)

// Flowtable is one of any table.
type Flowtable struct {
	Family, Table, Name string
	Devices             []string // "eth*" where it has all of a prefix
	Priority            int32
	Hardware            bool // connections are handed to the network card
}

func (t Flowtable) String() string { return t.Family + " " + t.Table + " " + t.Name }

// Offload says what forwards around prerouting.
type Offload struct {
	Flowtables []Flowtable
	// Devices are those of the flowtables that are there; Covered those of them
	// that have our ingress chain.
	Devices, Covered []string
	// Removed: somebody had deleted the ingress chain, which stands again.
	Removed bool
}

// hook is where the ingress chain stands.
type hook struct {
	devices  []string
	priority int32
}

// place returns where the chain must be: at all devices of the flowtables that
// exist, in front of the foremost.
func place(tables []Flowtable, devices []string) (h hook) {
	for i, t := range tables {
		if i == 0 || t.Priority < h.priority {
			h.priority = t.Priority
		}
		for _, name := range t.Devices {
			prefix, all := strings.CutSuffix(name, "*")
			for _, d := range devices {
				if d == name || all && strings.HasPrefix(d, prefix) {
					h.devices = append(h.devices, d)
				}
			}
		}
	}
	if h.priority > math.MinInt32 {
		h.priority--
	}
	slices.Sort(h.devices)
	h.devices = slices.Compact(h.devices)
	return h
}

// covers reports whether h does all that want does.
func (h hook) covers(want hook) bool {
	for _, d := range want.devices {
		if !slices.Contains(h.devices, d) {
			return false
		}
	}
	return len(want.devices) == 0 || h.priority == want.priority
}

// Follow puts the ingress chain where flowtables are now, and takes it away where
// none is. It is meant to be called often: without flowtables it asks one
// question. An error says that the chain is not where it should be.
func (f *Firewall) Follow() (Offload, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	o, want, err := f.look()
	if err != nil || len(o.Flowtables) == 0 && !f.expected.hooked {
		return o, err
	}
	have, there, err := f.write.ingress()
	if err != nil {
		return o, err
	}
	surplus := there && len(want.devices) == 0
	if !have.covers(want) || surplus {
		// With its last device the kernel deletes it by itself.
		removed := !there && f.expected.hooked && slices.Equal(f.placed, want.devices)
		if err := f.rehook(want, there); err != nil {
			o.Covered = common(have.devices, want.devices)
			return o, err
		}
		have, f.placed, o.Removed = want, want.devices, removed
	}
	o.Covered = common(have.devices, want.devices)
	return o, nil
}

// look reads the flowtables and says where the chain must be.
func (f *Firewall) look() (o Offload, want hook, err error) {
	if o.Flowtables, err = f.write.flowtables(); err != nil || len(o.Flowtables) == 0 {
		return o, want, err
	}
	links, err := Links(f.config.NetNS)
	if err != nil {
		return o, want, err
	}
	var devices []string
	for _, l := range links {
		devices = append(devices, l.Name)
	}
	want = place(o.Flowtables, devices)
	o.Devices = want.devices
	return o, want, nil
}

// rehook makes the ingress chain anew, or removes it if it has no devices.
func (f *Firewall) rehook(want hook, there bool) error {
	ours := f.write.commits
	err := f.transact(func() error {
		e := &f.write.enc
		if there {
			encodeRemoval(e, Ingress)
		}
		return f.config.encodeIngress(e, want)
	})
	f.generation += f.write.commits - ours
	if err != nil {
		return fmt.Errorf("put a chain in front of flowtables at %s: %w", strings.Join(want.devices, ", "), err)
	}
	layout, err := f.write.layout(f.config)
	if err == nil && f.expected.parts != nil {
		f.expected.takeIngress(layout)
	}
	return err
}

// refusesHook reports whether the kernel may have found fault with the ingress
// chain: a device has gone meanwhile, or it has no such hook.
func refusesHook(err error) bool {
	for _, e := range []unix.Errno{unix.ENOENT, unix.ENODEV, unix.EOPNOTSUPP, unix.EINVAL, unix.EBUSY, unix.EEXIST, unix.E2BIG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// encodeRemoval appends what removes a chain with its rules.
func encodeRemoval(e *encoder, chain string) {
	m := e.open(unix.NFT_MSG_DELRULE, 0)
	e.string(unix.NFTA_RULE_TABLE, Table)
	e.string(unix.NFTA_RULE_CHAIN, chain)
	e.close(m)
	m = e.open(unix.NFT_MSG_DELCHAIN, 0)
	e.string(unix.NFTA_CHAIN_TABLE, Table)
	e.string(unix.NFTA_CHAIN_NAME, chain)
	e.close(m)
}

// encodeIngress appends the ingress chain, if it has devices.
func (c Config) encodeIngress(e *encoder, h hook) error {
	if len(h.devices) == 0 {
		return nil
	}
	encodeChain(e, Ingress, nfInetIngress, h)
	return c.encodeRules(e, Ingress)
}

// flowtables reads those of all tables.
func (s *socket) flowtables() (tables []Flowtable, err error) {
	s.enc.reset()
	s.enc.close(s.enc.openRaw(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETFLOWTABLE, unix.NLM_F_DUMP, unix.NFPROTO_UNSPEC, resourceNone))
	refused, err := s.exchange(1, func(m message) {
		if m.is(unix.NFT_MSG_NEWFLOWTABLE) {
			tables = append(tables, flowtableOf(m))
		}
	})
	if err == nil && len(refused) > 0 && refused[0].errno != unix.EOPNOTSUPP {
		err = refused[0].errno
	}
	if err != nil {
		return nil, fmt.Errorf("read flowtables: %w", err)
	}
	slices.SortFunc(tables, func(a, b Flowtable) int { return cmp.Compare(a.String(), b.String()) })
	return tables, nil
}

func flowtableOf(m message) (t Flowtable) {
	if len(m.body) > 0 {
		t.Family = familyName(m.body[0])
	}
	for k, v := range attributes(m.payload()) {
		switch k {
		case nftaFlowtableTable:
			t.Table = text(v)
		case nftaFlowtableName:
			t.Name = text(v)
		case nftaFlowtableFlags:
			t.Hardware = number32(v)&nftFlowtableHWOffload != 0
		case nftaFlowtableHook:
			for k, v := range attributes(v) {
				switch k {
				case nftaFlowtableHookPrio:
					t.Priority = int32(number32(v))
				case nftaFlowtableHookDevs:
					t.Devices = devicesOf(v)
				}
			}
		}
	}
	return t
}

func familyName(family byte) string {
	switch family {
	case unix.NFPROTO_INET:
		return "inet"
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	}
	return fmt.Sprint("family ", family)
}

func devicesOf(list []byte) (names []string) {
	for k, v := range attributes(list) {
		switch k {
		case nftaDeviceName:
			names = append(names, text(v))
		case nftaDevicePrefix:
			names = append(names, text(v)+"*")
		}
	}
	return names
}

// ingress reads where our ingress chain is.
func (s *socket) ingress() (h hook, there bool, err error) {
	s.enc.reset()
	m := s.enc.open(unix.NFT_MSG_GETCHAIN, unix.NLM_F_ACK)
	s.enc.string(unix.NFTA_CHAIN_TABLE, Table)
	s.enc.string(unix.NFTA_CHAIN_NAME, Ingress)
	s.enc.close(m)
	refused, err := s.exchange(1, func(m message) {
		if m.is(unix.NFT_MSG_NEWCHAIN) {
			h, there = hookOf(m), true
		}
	})
	if err == nil && len(refused) > 0 && refused[0].errno != unix.ENOENT {
		err = refused[0].errno
	}
	if err != nil {
		return h, there, fmt.Errorf("read chain %s: %w", Ingress, err)
	}
	return h, there, nil
}

func hookOf(m message) (h hook) {
	for k, v := range attributes(m.payload()) {
		if k != unix.NFTA_CHAIN_HOOK {
			continue
		}
		for k, v := range attributes(v) {
			switch k {
			case unix.NFTA_HOOK_PRIORITY:
				h.priority = int32(number32(v))
			case nftaHookDevs:
				h.devices = devicesOf(v)
			}
		}
	}
	return h
}
