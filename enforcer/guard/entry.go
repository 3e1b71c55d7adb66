package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"uppercut/enforcer/prefix"
)

// Entry is one entry of an allow list. Exactly one of its fields is set.
type Entry struct {
	// Prefixes are those of an address, a prefix or a range: canonical, in
	// order, without overlap.
	Prefixes []netip.Prefix
	// File is the absolute path of a file with more entries.
	File string
	// Name is a DNS name, lower case, without the final dot.
	Name string
}

// ParseEntry reads an entry of an allow list: an address, a prefix, a range
// "a-b" (both ends included), "file:/path" or a DNS name. IPv4 in IPv6
// (::ffff:192.0.2.1) is taken for IPv4.
func ParseEntry(s string) (Entry, error) {
	s = strings.TrimSpace(s)
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		if !filepath.IsAbs(path) {
			return Entry{}, fmt.Errorf("%q: the path of a file must be absolute", s)
		}
		return Entry{File: filepath.Clean(path)}, nil
	}
	ps, err := parsePrefixes(s)
	if err == nil {
		return Entry{Prefixes: ps}, nil
	}
	if numeric(s) {
		return Entry{}, err
	}
	name, err := parseName(s)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: name}, nil
}

// MuchOfTheInternet tells whether p covers so many addresses that to allow it
// would be to block hardly anybody: IPv4 shorter than /8, and IPv6 shorter than
// /16 that reaches into the global unicast addresses (RFC 4291, section 2.4).
func MuchOfTheInternet(p netip.Prefix) bool {
	p = prefix.Canonical(p)
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 16 && p.Overlaps(globalUnicast)
}

var globalUnicast = netip.MustParsePrefix("2000::/3")

// tooMuch refuses an entry, written as s, that nobody can mean.
func (e Entry) tooMuch(s string) error {
	if slices.ContainsFunc(e.Prefixes, MuchOfTheInternet) {
		return fmt.Errorf("%q covers much of the Internet and would leave almost no address that can be blocked: use `mode: observe` to block nothing", s)
	}
	return nil
}

// unjoin takes errors.Join apart.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // exactly this error, not one inside it
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// numeric tells what was meant to be an address: a name cannot hold a colon or
// a slash and does not end in a number (RFC 3696, section 2).
func numeric(s string) bool {
	if strings.ContainsAny(s, ":/") {
		return true
	}
	last := s[strings.LastIndexAny(s, ".-")+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func parsePrefixes(s string) ([]netip.Prefix, error) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		return parseRange(s, from, to)
	}
	if strings.Contains(s, "/") {
		return parsePrefix(s)
	}
	a, err := parseAddr(s)
	if err != nil {
		return nil, err
	}
	return []netip.Prefix{prefix.Single(a)}, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(strings.TrimSpace(s))
	if err != nil {
		return a, fmt.Errorf("%q is not an address", s)
	}
	if a.Zone() != "" {
		return a, fmt.Errorf("%q: an address with a zone is valid only on its own link", s)
	}
	return a.Unmap(), nil
}

func parsePrefix(s string) ([]netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a prefix", s)
	}
	if p != p.Masked() {
		return nil, fmt.Errorf("%q has host bits set: write %v for the network or %v for the address", s, p.Masked(), p.Addr())
	}
	return []netip.Prefix{prefix.Canonical(p)}, nil
}

func parseRange(s, from, to string) ([]netip.Prefix, error) {
	a, err := parseAddr(from)
	if err != nil {
		return nil, err
	}
	b, err := parseAddr(to)
	if err != nil {
		return nil, err
	}
	if a.BitLen() != b.BitLen() {
		return nil, fmt.Errorf("%q mixes IPv4 and IPv6", s)
	}
	if b.Less(a) {
		return nil, fmt.Errorf("%q: the end of the range is before its start", s)
	}
	return slices.Collect(prefix.Range(a, b)), nil
}

var errName = errors.New("is neither an address, a prefix, a range, file:/path nor a DNS name")

// parseName checks a DNS name as far as a typing error needs (RFC 1035,
// section 2.3.1, and underscores).
func parseName(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if strings.Contains(name, "*") {
		return "", fmt.Errorf("%q: names are resolved to addresses, not matched against the client's name, so wildcards are not possible", s)
	}
	if name == "" || len(name) > 253 {
		return "", fmt.Errorf("%q %w", s, errName)
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("%q %w", s, errName)
		}
	}
	return name, nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
		return false
	}
	return strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
