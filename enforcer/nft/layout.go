package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The names of our objects. Outsiders rely on them.
const (
	Table   = "uppercut" // of family inet
	Chain   = "prerouting"
	Set4    = "block4"     // IPv4 addresses
	Set6    = "block6"     // IPv6 networks of Config.IPv6Bits
	SetNet4 = "block4_net" // other IPv4 networks
	SetNet6 = "block6_net" // other IPv6 networks and addresses
	Ports   = "mail_ports" // only with Config.Ports
	// Those of Set4 and Set6 that keep knocking; only with Config.Extend.
	Knock4 = "knock4"
	Knock6 = "knock6"

	Counter4 = "dropped4"
	Counter6 = "dropped6"
)

// Sets lists the four sets.
var Sets = [...]string{Set4, Set6, SetNet4, SetNet6}

// Counters lists the two counters, IPv4 first.
var Counters = [...]string{Counter4, Counter6}

// register is where each rule keeps the source address (NFT_REG_1).
const register = 1

// Config describes the objects.
type Config struct {
	// NetNS is the file descriptor of a network namespace; 0 is the
	// namespace of the thread that calls Open.
	NetNS int
	// IPv6Bits is the length of the IPv6 prefixes in Set6, 1 to 128.
	IPv6Bits int
	// HashSize and NetSize are the sizes of the hash and the interval sets,
	// in prefixes.
	HashSize, NetSize uint32
	// Ports limits the drop to TCP connections to these ports; none drops
	// everything.
	Ports []uint16
	// ElementCounters counts packets and bytes for each element.
	ElementCounters bool
	// Extend, if not 0, keeps a source of the hash sets blocked until it has
	// been silent for so long, whenever its element ends: each packet puts it
	// anew into a set of those that knock.
	Extend time.Duration
	// NoCounts makes the kernel one that does not count elements, as all are
	// before Linux 6.16: so tests see to those.
	NoCounts bool
}

// set describes one of the sets.
type set struct {
	name     string
	id       uint32 // unique in a transaction
	keyType  nftables.SetDatatype
	interval bool
	dynamic  bool // filled by the rules
	size     uint32
}

func (c Config) sets() [4]set {
	return [4]set{
		{name: Set4, id: 1, keyType: nftables.TypeIPAddr, size: c.HashSize},
		{name: Set6, id: 2, keyType: nftables.TypeIP6Addr, size: c.HashSize},
		// Linux 5.10 counts both ends of an interval.
		{name: SetNet4, id: 3, keyType: nftables.TypeIPAddr, interval: true, size: 2 * c.NetSize},
		{name: SetNet6, id: 4, keyType: nftables.TypeIP6Addr, interval: true, size: 2 * c.NetSize},
	}
}

// knocks are the sets of those that knock: for Set4 and Set6 in order.
func (c Config) knocks() []set {
	if c.Extend == 0 {
		return nil
	}
	return []set{
		{name: Knock4, id: 6, keyType: nftables.TypeIPAddr, dynamic: true, size: c.HashSize},
		{name: Knock6, id: 7, keyType: nftables.TypeIP6Addr, dynamic: true, size: c.HashSize},
	}
}

// SetIndex says which of Sets p belongs to. p is masked and not IPv4-mapped.
func (c Config) SetIndex(p netip.Prefix) int {
	switch v4 := p.Addr().Is4(); {
	case v4 && p.Bits() == 32:
		return 0
	case v4:
		return 2
	case p.Bits() == c.IPv6Bits:
		return 1
	default:
		return 3
	}
}

// encodeLayout appends what makes the table anew, without elements. Counters
// start at drops; the ingress chain is left out if it has no devices.
func (c Config) encodeLayout(e *encoder, drops [2]Drops, ingress hook) error {
	encodeTable(e, unix.NFT_MSG_NEWTABLE) // so that the deletion finds one
	encodeTable(e, unix.NFT_MSG_DELTABLE)
	encodeTable(e, unix.NFT_MSG_NEWTABLE)
	for i, name := range Counters {
		if err := encodeCounter(e, name, drops[i]); err != nil {
			return err
		}
	}
	sets := c.sets()
	for _, s := range append(sets[:], c.knocks()...) {
		if err := c.encodeSet(e, s); err != nil {
			return err
		}
	}
	if len(c.Ports) > 0 {
		encodePorts(e, c.Ports)
	}
	encodeChain(e, Chain, uint32(*nftables.ChainHookPrerouting), hook{priority: int32(*nftables.ChainPriorityRaw)})
	if err := c.encodeRules(e, Chain); err != nil {
		return err
	}
	return c.encodeIngress(e, ingress)
}

func (c Config) encodeRules(e *encoder, chain string) error {
	for _, exprs := range c.rules() {
		if err := encodeRule(e, chain, exprs); err != nil {
			return err
		}
	}
	return nil
}

func encodeTable(e *encoder, kind uint16) {
	m := e.open(kind, unix.NLM_F_CREATE)
	e.string(unix.NFTA_TABLE_NAME, Table)
	e.close(m)
}

func encodeCounter(e *encoder, name string, d Drops) error {
	data, err := expr.MarshalExprData(unix.NFPROTO_INET, &expr.Counter{Packets: d.Packets, Bytes: d.Bytes})
	if err != nil {
		return fmt.Errorf("encode counter %s: %w", name, err)
	}
	m := e.open(unix.NFT_MSG_NEWOBJ, unix.NLM_F_CREATE)
	e.string(unix.NFTA_OBJ_TABLE, Table)
	e.string(unix.NFTA_OBJ_NAME, name)
	e.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	e.bytes(unix.NFTA_OBJ_DATA|unix.NLA_F_NESTED, data)
	e.close(m)
	return nil
}

const (
	nftaSetExpr     = 0x11 // NFTA_SET_EXPR, not in package unix
	bigEndianKeys   = 2    // libnftnl's BYTEORDER_BIG_ENDIAN
	portsID         = 5
	portsSetMinSize = 16
)

func (c Config) encodeSet(e *encoder, s set) error {
	flags := uint32(unix.NFT_SET_TIMEOUT)
	if s.interval {
		flags |= unix.NFT_SET_INTERVAL
	}
	if s.dynamic {
		flags |= unix.NFT_SET_EVAL
	}
	m := e.open(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	encodeSetHead(e, s, flags)
	if c.ElementCounters && !s.dynamic {
		counter, err := expr.Marshal(unix.NFPROTO_INET, &expr.Counter{})
		if err != nil {
			return fmt.Errorf("encode set %s: %w", s.name, err)
		}
		e.bytes(nftaSetExpr|unix.NLA_F_NESTED, counter)
	}
	e.close(m)
	return nil
}

func encodeSetHead(e *encoder, s set, flags uint32) {
	e.string(unix.NFTA_SET_TABLE, Table)
	e.string(unix.NFTA_SET_NAME, s.name)
	e.uint32(unix.NFTA_SET_FLAGS, flags)
	e.uint32(unix.NFTA_SET_KEY_TYPE, s.keyType.GetNFTMagic())
	e.uint32(unix.NFTA_SET_KEY_LEN, s.keyType.Bytes)
	e.uint32(unix.NFTA_SET_ID, s.id)
	n := e.nest(unix.NFTA_SET_DESC)
	e.uint32(unix.NFTA_SET_DESC_SIZE, s.size)
	e.unnest(n)
	// nft reads from here how to print the keys.
	e.bytes(unix.NFTA_SET_USERDATA, userdata.AppendUint32(nil, userdata.NFTNL_UDATA_SET_KEYBYTEORDER, bigEndianKeys))
}

func encodePorts(e *encoder, ports []uint16) {
	m := e.open(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	encodeSetHead(e, set{name: Ports, id: portsID, keyType: nftables.TypeInetService, size: portsSetMinSize + uint32(len(ports))}, 0)
	e.close(m)

	m = e.open(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
	list := encodeListHead(e, Ports)
	for _, p := range ports {
		elem := e.nest(unix.NFTA_LIST_ELEM)
		encodeKey(e, binary.BigEndian.AppendUint16(nil, p))
		e.unnest(elem)
	}
	e.unnest(list)
	e.close(m)
}

func encodeChain(e *encoder, name string, number uint32, h hook) {
	m := e.open(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	e.string(unix.NFTA_CHAIN_TABLE, Table)
	e.string(unix.NFTA_CHAIN_NAME, name)
	nested := e.nest(unix.NFTA_CHAIN_HOOK)
	e.uint32(unix.NFTA_HOOK_HOOKNUM, number)
	e.uint32(unix.NFTA_HOOK_PRIORITY, uint32(h.priority))
	if len(h.devices) > 0 {
		list := e.nest(nftaHookDevs)
		for _, name := range h.devices {
			e.string(nftaDeviceName, name)
		}
		e.unnest(list)
	}
	e.unnest(nested)
	e.uint32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
	e.string(unix.NFTA_CHAIN_TYPE, string(nftables.ChainTypeFilter))
	e.close(m)
}

func encodeRule(e *encoder, chain string, exprs []expr.Any) error {
	m := e.open(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	e.string(unix.NFTA_RULE_TABLE, Table)
	e.string(unix.NFTA_RULE_CHAIN, chain)
	list := e.nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, x := range exprs {
		b, err := expr.Marshal(unix.NFPROTO_INET, x)
		if err != nil {
			return fmt.Errorf("encode rule: %w", err)
		}
		e.bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
	}
	e.unnest(list)
	e.close(m)
	return nil
}

// rules returns the chain's rules in order. What came over a loopback
// interface is never dropped. "accept" ends our chain only.
func (c Config) rules() [][]expr.Any {
	rules := [][]expr.Any{{
		&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: register},
		equal(binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_LOOPBACK)),
		accept(),
	}}
	if len(c.Ports) > 0 {
		rules = append(rules, mailOnly()...)
	}
	source4 := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		equal([]byte{unix.NFPROTO_IPV4}),
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
	}
	source6 := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		equal([]byte{unix.NFPROTO_IPV6}),
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16},
	}
	masked6 := join(source6, &expr.Bitwise{
		SourceRegister: register, DestRegister: register, Len: 16,
		Mask: mask6(c.IPv6Bits), Xor: make([]byte, 16),
	})
	if c.Extend > 0 {
		rules = append(rules,
			join(source4, c.noteIn(Set4, Knock4)...), join(source4, c.noteIn(Knock4, Knock4)...),
			join(masked6, c.noteIn(Set6, Knock6)...), join(masked6, c.noteIn(Knock6, Knock6)...),
			join(source4, dropIn(Knock4, Counter4)...), join(masked6, dropIn(Knock6, Counter6)...),
		)
	}
	return append(rules,
		join(source4, dropIn(Set4, Counter4)...),
		join(source4, dropIn(SetNet4, Counter4)...),
		join(masked6, dropIn(Set6, Counter6)...),
		join(source6, dropIn(SetNet6, Counter6)...),
	)
}

// mailOnly lets everything pass that is not for a mail port.
func mailOnly() [][]expr.Any {
	return [][]expr.Any{
		{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: []byte{unix.IPPROTO_TCP}},
			accept(),
		},
		{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
			equal([]byte{unix.IPPROTO_TCP}),
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
			&expr.Lookup{SourceRegister: register, SetName: Ports, Invert: true},
			accept(),
		},
	}
}

// dropIn drops what has its source, in the register, in the set.
func dropIn(name, counter string) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: register, SetName: name},
		&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// noteIn puts the source, if it is in the set, anew into those that knock. It
// does not drop: a full set ends the rule.
func (c Config) noteIn(name, knock string) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: register, SetName: name},
		&expr.Dynset{SrcRegKey: register, SetName: knock, Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: c.Extend},
	}
}

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

func join(head []expr.Any, tail ...expr.Any) []expr.Any {
	return append(slices.Clip(head), tail...)
}

func mask6(bits int) []byte {
	m := make([]byte, 16)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// Validate reports what makes c impossible.
func (c Config) Validate() error {
	switch {
	case c.IPv6Bits < 1 || c.IPv6Bits > 128:
		return fmt.Errorf("IPv6 prefix length %d is not in 1 to 128", c.IPv6Bits)
	case c.HashSize == 0 || c.NetSize == 0:
		return errors.New("a set's size must not be 0")
	}
	return nil
}
