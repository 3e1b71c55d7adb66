package appliance

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// waitFor polls until ok or fails the test after limit.
func waitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s it is still not so that %s", limit, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// refused is the line that sendmail writes for a client without reverse DNS.
func refused(client string) string {
	relay := "[" + client + "]"
	if addr := netip.MustParseAddr(client); addr.Is6() {
		relay = "[IPv6:" + uncompressed(addr) + "]"
	}
	return fmt.Sprintf("ruleset=check_relay, arg1=%s, arg2=%s, relay=%s, reject=550 5.7.1 Fix reverse DNS for %s,or use your ISP server",
		relay, client, relay, client)
}

// uncompressed writes an IPv6 address as sendmail does by default.
func uncompressed(addr netip.Addr) string {
	var groups []string
	b := addr.As16()
	for i := 0; i < 16; i += 2 {
		groups = append(groups, fmt.Sprintf("%x", int(b[i])<<8|int(b[i+1])))
	}
	return strings.Join(groups, ":")
}
