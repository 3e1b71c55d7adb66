package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"uppercut/deploy/netns"
	"uppercut/enforcer"
	"uppercut/enforcer/ledger"
)

const manyHosts = 200

// manyBlocks is a million, but for the smoke test.
var manyBlocks = sync.OnceValue(func() int {
	if testing.Short() {
		return 30_000
	}
	return 1_000_000
})

// The figures to reach.
const (
	firstByteLimit = 200 * time.Millisecond
	scrapeLimit    = 50 * time.Millisecond
)

// BenchmarkPagesAtAMillionBlocks asks a real appliance, with a million blocks
// in the kernel and in the ledger, evidence of 20,000 of them and 200 mail hosts
// that log, for every page, a scrape and the questions of the commands. It
// reports the time to the first byte, median and worst, beside the figure to
// reach, and the processor time of the appliance, which a busy machine hardly
// changes.
func BenchmarkPagesAtAMillionBlocks(b *testing.B) {
	g := newBigGateway(b)
	for _, page := range []struct {
		name, path string
		limit      time.Duration
	}{
		{"overview", "/", firstByteLimit},
		{"blocks", "/blocks", firstByteLimit},
		{"blocks/address", "/blocks?search=" + bigAddr(4711).String(), firstByteLimit},
		{"blocks/prefix", "/blocks?search=20.7.", firstByteLimit},
		{"blocks/reason", "/blocks?reason=no_rdns&rule=steady", firstByteLimit},
		{"blocks/host", "/blocks?host=mx17", firstByteLimit},
		{"address/blocked", "/address?addr=" + bigAddr(manyBlocks()-5).String(), firstByteLimit},
		{"address/unknown", "/address?addr=198.51.100.1", firstByteLimit},
		{"senders", "/senders", firstByteLimit},
		{"guards", "/guards", firstByteLimit},
		{"samples", "/samples", firstByteLimit},
		{"audit", "/audit", firstByteLimit},
		{"config", "/config", firstByteLimit},
		{"scrape", "/metrics", scrapeLimit},
		{"status", "/api/v1/status", firstByteLimit},
		{"top", "/api/v1/top?by=source", firstByteLimit},
	} {
		b.Run(page.name, func(b *testing.B) {
			var took []time.Duration
			before := g.processorTime(b)
			for b.Loop() {
				took = append(took, g.firstByte(b, page.path))
			}
			used := g.processorTime(b) - before
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2])/1e6, "ms/first-byte")
			b.ReportMetric(float64(took[len(took)-1])/1e6, "ms/worst")
			b.ReportMetric(float64(page.limit)/1e6, "ms/limit")
			b.ReportMetric(float64(used)/1e6/float64(len(took)), "cpu-ms/op")
		})
	}
}

// bigGateway is an appliance with all that a large site has.
type bigGateway struct {
	ns     *netns.Namespace
	dir    string
	client *http.Client
	pid    int
}

// processorTime is what the appliance has used so far, to the hundredth of a
// second.
func (g *bigGateway) processorTime(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // proc_pid_stat(5): state is the third field
	fields := strings.Fields(rest)
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

func newBigGateway(b *testing.B) *bigGateway {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Fatal("this benchmark makes a network namespace and must run as root")
	}
	g := &bigGateway{ns: netns.New(b, "big"), dir: b.TempDir()}
	g.writeLedger(b)
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), 10)
	if err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"web.yml":       fmt.Sprintf("basic_auth_users: {anna: %q}\n", hash),
		"uppercut.yaml": "state_dir: " + g.dir + "\nenforcer: {max_addresses: 2000000, allow: [\"192.0.2.0/24\"]}\n",
	} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	g.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return g.ns.Dial(ctx, new(net.Dialer), network, addr)
		},
	}}
	g.serve(b)
	g.log(b)
	return g
}

// bigAddr is the address of the block number i.
func bigAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)})
}

func (g *bigGateway) writeLedger(b *testing.B) {
	b.Helper()
	l, err := ledger.Open(filepath.Join(g.dir, enforcer.LedgerFile), ledger.Options{History: 20_000, Audit: 10_000})
	if err != nil {
		b.Fatal(err)
	}
	reasons := []string{"dnsbl", "no_rdns", "relay_denied", "unknown_user", "auth_fail"}
	now := time.Now()
	var batch ledger.Batch
	for i := range manyBlocks() {
		e := ledger.Block{
			ID: uint64(i + 1), Prefix: netip.PrefixFrom(bigAddr(i), 32), At: now.Add(time.Duration(i-manyBlocks()) * time.Millisecond),
			Until: now.Add(24 * time.Hour), Rule: []string{"burst", "steady"}[i%2], Score: 12,
			Reason: reasons[i%len(reasons)], Host: fmt.Sprintf("mx%d", i%manyHosts),
		}
		if i >= manyBlocks()-20_000 {
			e.Detail = bigEvidence(b, now, e)
		}
		batch.Put = append(batch.Put, e)
		if i%100 == 0 {
			batch.Audit = append(batch.Audit, ledger.Audit{Time: e.At, Action: "unblock", Author: "anna", Prefixes: []netip.Prefix{e.Prefix}, Count: 1})
		}
		if len(batch.Put) == 50_000 {
			if err := l.Commit(batch); err != nil {
				b.Fatal(err)
			}
			batch = ledger.Batch{}
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// bigEvidence is as much as a block may have.
func bigEvidence(b *testing.B, now time.Time, block ledger.Block) json.RawMessage {
	b.Helper()
	lines := make([]enforcer.Evidence, 20)
	for i := range lines {
		lines[i] = enforcer.Evidence{
			Time: now, Sender: "10.25.0.11", Host: block.Host, Transport: "tcp", Reason: block.Reason,
			Text: refused(block.Prefix.Addr().String()),
		}
	}
	text, err := json.Marshal(lines)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func (g *bigGateway) serve(b *testing.B) {
	b.Helper()
	program, err := exec.LookPath("uppercut")
	if err != nil {
		b.Fatal(err)
	}
	cmd := g.ns.Command(program, "--config", g.dir+"/uppercut.yaml",
		"serve", "--web.config.file", g.dir+"/web.yml", "--log.level", "warn")
	cmd.Stderr = b.Output()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	g.pid = cmd.Process.Pid
	b.Cleanup(func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() })
	waitFor(b, 2*time.Minute, "uppercut is ready", func() bool {
		res, err := g.get(context.Background(), "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// log sends lines of many mail hosts, each of which refuses a hundred clients.
func (g *bigGateway) log(b *testing.B) {
	b.Helper()
	c, err := g.ns.Dial(b.Context(), new(net.Dialer), "tcp", "127.0.0.1:5514")
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var lines strings.Builder
	for host := range manyHosts {
		for i := range 100 {
			client := netip.AddrFrom4([4]byte{30, byte(host), byte(i), 1}).String()
			fmt.Fprintf(&lines, "<22>%s mx%d sendmail[%d]: %s\n", time.Now().Format(time.RFC3339Nano), host, 1000+i, refused(client))
		}
	}
	if _, err := io.WriteString(c, lines.String()); err != nil {
		b.Fatal(err)
	}
	waitFor(b, time.Minute, "all lines are judged", func() bool {
		res, err := g.get(context.Background(), "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), fmt.Sprintf("\nuppercut_messages_judged_total %d", manyHosts*100)) ||
			strings.Contains(string(text), "\nuppercut_messages_judged_total 2e+04")
	})
}

func (g *bigGateway) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:9514"+path, nil)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth("anna", "correct horse")
	return g.client.Do(req)
}

// firstByte asks for a page, reads it to the end and returns when it began.
func (g *bigGateway) firstByte(b *testing.B, path string) time.Duration {
	b.Helper()
	began := time.Now()
	var took time.Duration
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		GotFirstResponseByte: func() { took = time.Since(began) },
	})
	res, err := g.get(ctx, path)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		b.Fatalf("%s: %s, %v", path, res.Status, err)
	}
	return took
}
