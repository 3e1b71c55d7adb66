package console

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mmdb makes a file in MaxMind's DB format 2.0 that knows one IPv4 network.
func mmdb(p netip.Prefix, record []byte) []byte {
	var b bytes.Buffer
	nodes := uint32(p.Bits())
	addr := binary.BigEndian.Uint32(p.Addr().AsSlice())
	put24 := func(n uint32) { b.Write([]byte{byte(n >> 16), byte(n >> 8), byte(n)}) }
	for i := range nodes {
		next := i + 1
		if next == nodes {
			next = nodes + 16 // the first byte of the data
		}
		if addr>>(31-i)&1 == 0 {
			put24(next)
			put24(nodes)
		} else {
			put24(nodes)
			put24(next)
		}
	}
	b.Write(make([]byte, 16))
	b.Write(record)
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.Write(mmdbMap("node_count", mmdbUint(6, nodes), "record_size", mmdbUint(5, 24), "ip_version", mmdbUint(5, 4),
		"database_type", mmdbString("Test"), "languages", []byte{0, 4}, "binary_format_major_version", mmdbUint(5, 2),
		"binary_format_minor_version", mmdbUint(5, 0), "build_epoch", []byte{1, 2, 1}, "description", []byte{7 << 5}))
	return b.Bytes()
}

// mmdbMap is a map of names, given as name, value, name, value.
func mmdbMap(pairs ...any) []byte {
	out := []byte{7<<5 | byte(len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		out = append(append(out, mmdbString(pairs[i].(string))...), pairs[i+1].([]byte)...)
	}
	return out
}

// mmdbString is a string of less than 285 bytes.
func mmdbString(s string) []byte {
	if len(s) < 29 {
		return append([]byte{2<<5 | byte(len(s))}, s...)
	}
	return append([]byte{2<<5 | 29, byte(len(s) - 29)}, s...)
}

// mmdbUint is a uint16 (kind 5) or uint32 (kind 6).
func mmdbUint(kind byte, n uint32) []byte {
	if kind == 5 {
		return append([]byte{kind<<5 | 2}, binary.BigEndian.AppendUint16(nil, uint16(n))...)
	}
	return append([]byte{kind<<5 | 4}, binary.BigEndian.AppendUint32(nil, n)...)
}

func TestNetworks(t *testing.T) {
	dir := t.TempDir()
	asn, country := filepath.Join(dir, "asn.mmdb"), filepath.Join(dir, "country.mmdb")
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	known := netip.MustParsePrefix("203.0.113.0/24")
	write(asn, mmdb(known, mmdbMap("autonomous_system_number", mmdbUint(6, 64500), "autonomous_system_organization", mmdbString("Example Ltd"))))
	write(country, mmdb(known, mmdbMap("country", mmdbMap("iso_code", mmdbString("DE")))))
	if err := (Config{Listen: ":1", MaxConnections: 64, NetworkFiles: []string{asn, country}}).CheckFiles(); err != nil {
		t.Fatal(err)
	}
	n := newNetworks([]string{asn, country}, slog.New(slog.DiscardHandler))
	for addr, want := range map[string]string{"203.0.113.9": "AS64500 Example Ltd, DE", "198.51.100.1": "", "2001:db8::1": ""} {
		got := ""
		if found := n.of(netip.MustParseAddr(addr)); found != nil {
			got = found.String()
		}
		if got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}

	// A newer file counts, one that is none does not; both are looked at again.
	again := func() string { n.looked = time.Time{}; return n.of(known.Addr()).String() }
	write(country, mmdb(known, mmdbMap("registered_country", mmdbMap("iso_code", mmdbString("NL")), "longer", mmdbString("so that the size differs"))))
	if got := again(); got != "AS64500 Example Ltd, NL" {
		t.Errorf("after a change: %q", got)
	}
	write(country, []byte("no database"))
	if got := again(); got != "AS64500 Example Ltd, NL" {
		t.Errorf("after damage: %q", got)
	}
	err := Config{NetworkFiles: []string{asn, country, filepath.Join(dir, "none"), dir}}.CheckFiles()
	for _, want := range []string{"network_files[1]: read ", "network_files[2]: stat ", "network_files[3]: read "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if none := newNetworks(nil, nil).of(known.Addr()); none != nil {
		t.Errorf("without a file: %v", none)
	}
}

// A file that lies crashes nothing.
func TestDamagedNetworks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asn.mmdb")
	whole := mmdb(netip.MustParsePrefix("203.0.113.0/24"), mmdbMap("autonomous_system_number", mmdbUint(6, 64500)))
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 0xff
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = newNetworks([]string{path}, slog.New(slog.DiscardHandler)).of(netip.MustParseAddr("203.0.113.9"))
	}
}
