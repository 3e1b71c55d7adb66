package lab

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// blocklist is the zone of the lab's DNSBL.
const blocklist = "zen.dnsbl.lab"

// mailDomains have an address for whatever name is asked for.
var mailDomains = []string{"good.example", "sender.example", "badsender.example", "lab.example", "hub.example", "elsewhere.example"}

// serveDNS answers for every name of the lab until conn is closed.
func serveDNS(conn net.PacketConn) {
	packet := make([]byte, 4096)
	for {
		n, client, err := conn.ReadFrom(packet)
		if err != nil {
			return
		}
		if reply, err := answer(packet[:n]); err == nil {
			_, _ = conn.WriteTo(reply, client)
		}
	}
}

// answer replies to one query as the authority for everything.
func answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	body, known := lookUp(strings.ToLower(strings.TrimSuffix(question.Name.String(), ".")), question.Type)
	reply := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
	}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	}
	if body != nil {
		rr := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class, TTL: 60}
		reply.Answers = []dnsmessage.Resource{{Header: rr, Body: body}}
	}
	return reply.Pack()
}

// lookUp gives the record of that type, nil if the name has none; known says
// whether the name exists.
func lookUp(name string, kind dnsmessage.Type) (body dnsmessage.ResourceBody, known bool) {
	if client, ok := addressInReverse(name); ok {
		return reverseRecord(client, kind)
	}
	if octets, ok := strings.CutSuffix(name, "."+blocklist); ok {
		client, err := netip.ParseAddr(reverseOctets(octets))
		if err != nil || !listed.Contains(client) {
			return nil, false
		}
		return addressRecord(netip.MustParseAddr("127.0.0.2"), kind), true
	}
	if addr, ok := addressIn(name); ok {
		return addressRecord(addr, kind), true
	}
	for _, domain := range mailDomains {
		if name == domain || strings.HasSuffix(name, "."+domain) {
			return addressRecord(netip.MustParseAddr("100.64.255.25"), kind), true
		}
	}
	return nil, false
}

func reverseRecord(client netip.Addr, kind dnsmessage.Type) (dnsmessage.ResourceBody, bool) {
	name, err := dnsmessage.NewName(reverseName(client) + ".")
	if err != nil || name.String() == "." {
		return nil, false
	}
	if kind != dnsmessage.TypePTR {
		return nil, true
	}
	return &dnsmessage.PTRResource{PTR: name}, true
}

func addressRecord(addr netip.Addr, kind dnsmessage.Type) dnsmessage.ResourceBody {
	switch {
	case kind == dnsmessage.TypeA && addr.Is4():
		return &dnsmessage.AResource{A: addr.As4()}
	case kind == dnsmessage.TypeAAAA && addr.Is6():
		return &dnsmessage.AAAAResource{AAAA: addr.As16()}
	default:
		return nil
	}
}

// addressInReverse reads names under in-addr.arpa and ip6.arpa.
func addressInReverse(name string) (netip.Addr, bool) {
	if octets, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		addr, err := netip.ParseAddr(reverseOctets(octets))
		return addr, err == nil
	}
	nibbles, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(nibbles) != 63 {
		return netip.Addr{}, false
	}
	var raw [16]byte
	for i := range raw {
		low, high := nibbles[4*(15-i)], nibbles[4*(15-i)+2]
		b, err := strconv.ParseUint(string([]byte{high, low}), 16, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		raw[i] = byte(b)
	}
	return netip.AddrFrom16(raw), true
}

func reverseOctets(octets string) string {
	parts := strings.Split(octets, ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".")
}
