package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/metrics"
)

// running is a Console that serves a fake.
type running struct {
	*Console
	fake   *fake
	health *metrics.Health
	dir    string
	audit  *lockedBuffer
	log    *lockedBuffer
	stop   func() error
}

// start serves a fake until the test ends.
func start(t *testing.T, c Config, f *fake) *running {
	t.Helper()
	r := &running{fake: f, health: new(metrics.Health), dir: t.TempDir(), audit: new(lockedBuffer), log: new(lockedBuffer)}
	reg := prometheus.NewRegistry()
	con, err := New(c, Options{
		Logger: slog.New(slog.NewTextHandler(r.log, nil)), Audit: slog.New(slog.NewTextHandler(r.audit, nil)), Registerer: reg, Gatherer: reg,
		Appliance: f, Health: r.health, StateDir: r.dir,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Console = con
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- con.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func (r *running) dial(t *testing.T) *Client {
	t.Helper()
	c, err := Dial(filepath.Join(r.dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// lockedBuffer takes log lines of several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, s := range texts {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func whoami(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func TestOrdersOverTheSocket(t *testing.T) {
	r := start(t, Config{}, newFake())
	r.fake.open = []Breaker{{Host: "mx1", Open: true}}
	c, ctx, me := r.dial(t), t.Context(), whoami(t)
	ps := prefixes("203.0.113.9/32", "2001:db8::/64")

	blocked, err := c.Block(ctx, 2*time.Hour, "ticket 7", append(ps, prefixes("127.0.0.1/32")...)...)
	if err != nil || len(blocked.Blocked) != 2 || len(blocked.Refused) != 1 {
		t.Fatalf("block: %+v, %v", blocked, err)
	}
	if b := blocked.Blocked[0]; b.Author != me || b.Until != noon.Add(2*time.Hour) {
		t.Errorf("block: author %q until %v, want %q and two hours", b.Author, b.Until, me)
	}
	page, err := c.Blocks(ctx, Search{Text: "203.0.113."})
	if err != nil || page.Matching != 1 || page.Blocks[0].Prefix != ps[0] {
		t.Errorf("blocks: %+v, %v", page, err)
	}
	un, err := c.Unblock(ctx, false, "customer called", append(ps[:1:1], prefixes("198.51.100.1/32")...)...)
	if err != nil || !slices.Equal(un.Unblocked, ps[:1]) || len(un.NotBlocked) != 1 || un.LeftAloneUntil.IsZero() {
		t.Errorf("unblock: %+v, %v", un, err)
	}
	if got, err := c.Allow(ctx, false, time.Hour, "partner", ps[0]); err != nil || len(got) != 1 || got[0].Until != noon.Add(time.Hour) {
		t.Errorf("allow: %+v, %v", got, err)
	}
	if got, err := c.Allowed(ctx); err != nil || len(got) != 1 {
		t.Errorf("allowed: %+v, %v", got, err)
	}
	if got, err := c.Disallow(ctx, "", ps[0]); err != nil || len(got) != 1 {
		t.Errorf("disallow: %+v, %v", got, err)
	}
	for name, err := range map[string]error{
		"close breaker": c.CloseBreaker(ctx, "mx1", "dnsbl is back"), "flush": c.Flush(ctx, 0, true, "lunch"),
		"reload": c.Reload(ctx, ""),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if resumed, err := c.Resume(ctx, ""); err != nil || !resumed.Resumed {
		t.Errorf("resume: %+v, %v", resumed, err)
	}
	if _, err := c.RepairFirewall(ctx, "flushed by accident"); err != nil {
		t.Errorf("repair: %v", err)
	}
	for _, want := range []string{
		"block [203.0.113.9/32 2001:db8::/64 127.0.0.1/32] for 2h0m0s by " + me + ": ticket 7",
		"unblock [203.0.113.9/32 198.51.100.1/32] by " + me + ": customer called",
		"allow [203.0.113.9/32] for 1h0m0s by " + me + ": partner",
		"disallow [203.0.113.9/32] by " + me + ": ",
		"close breaker of mx1 by " + me + ": dnsbl is back",
		"flush and forget by " + me + ": lunch",
		"repair by " + me + ": flushed by accident",
		"resume by " + me + ": ", "reload by " + me + ": ",
	} {
		if !slices.Contains(r.fake.done(), want) {
			t.Errorf("not carried out: %s\nbut: %s", want, strings.Join(r.fake.done(), "\n"))
		}
	}
	for _, want := range []string{
		"action=unblock author=" + me + ` via=socket`, `note="ticket 7" prefixes="203.0.113.9/32 2001:db8::/64 127.0.0.1/32" count=3 for=2h`,
		"action=flush", "action=resume", "action=reload", "action=repair ", "action=close_breaker", "host=mx1",
	} {
		if !strings.Contains(r.audit.String(), want) {
			t.Errorf("audit log lacks %q:\n%s", want, r.audit)
		}
	}
	if strings.Contains(r.audit.String(), "remote=") {
		t.Errorf("a Unix socket has an address in the audit log:\n%s", r.audit)
	}
}

func TestQuestionsOverTheSocket(t *testing.T) {
	f := newFake()
	f.senders = []Sender{{Host: "mx1", Sender: "192.0.2.1", Transport: "tcp", Last: noon, Skew: Duration(3 * time.Hour), Silent: true}}
	f.samples = []Sample{{Time: noon, Stage: "sendmail", Sender: "192.0.2.1", Count: 2, Text: "what?"}}
	f.open = []Breaker{{Host: "mx1", Open: true, Since: noon, Reason: "everybody is refused", SetAside: 7}}
	a := netip.MustParseAddr("203.0.113.9")
	f.why[a] = Why{
		Addr: a, Source: netip.MustParsePrefix("203.0.113.9/32"), Rules: []RuleScore{{"burst", Duration(time.Minute), 5, 10, Duration(time.Hour), []ScorePoint{{noon, 5}}}},
		Evidence: []Evidence{{noon, "192.0.2.1", "mx1", "tcp", "dnsbl", "reject=550"}},
		History:  []PastBlock{{Block: Block{Prefix: netip.MustParsePrefix("203.0.113.9/32"), At: noon, Until: noon, Rule: "burst"}, Cause: "unknown"}},
		Accepted: Accepted{Messages: 3, Last: noon},
	}
	r := start(t, Config{}, f)
	r.health.Add("firewall", func() error { return errors.New("table is missing") })
	c, ctx := r.dial(t), t.Context()

	status, err := c.Status(ctx)
	if err != nil || status.Mode != "enforce" || status.Ready || len(status.Checks) != 1 {
		t.Errorf("status: %+v, %v", status, err)
	}
	health, err := c.Health(ctx)
	if want := (Health{false, []Check{{"firewall", false, "table is missing", ""}}}); err != nil || !cmp.Equal(health, want) {
		t.Errorf("health: %+v, %v; want %+v", health, err, want)
	}
	why, err := c.Why(ctx, netip.PrefixFrom(a, 32))
	if diff := cmp.Diff(f.why[a], why, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); err != nil || diff != "" {
		t.Errorf("why (-want +got), %v:\n%s", err, diff)
	}
	senders, err := c.Senders(ctx)
	if err != nil || !cmp.Equal(senders, f.senders) {
		t.Errorf("senders: %+v, %v", senders, err)
	}
	breakers, err := c.Breakers(ctx)
	if err != nil || !cmp.Equal(breakers, f.open) {
		t.Errorf("breakers: %+v, %v", breakers, err)
	}
	samples, err := c.Samples(ctx)
	if err != nil || !cmp.Equal(samples, f.samples) {
		t.Errorf("samples: %+v, %v", samples, err)
	}
	if top, err := c.Top(ctx, "source", 1); err != nil || len(top.Items) != 1 || top.Items[0].Name != "203.0.113.9/32" {
		t.Errorf("top: %+v, %v", top, err)
	}
	if fw, err := c.Firewall(ctx); err != nil || fw.Table != "inet uppercut" || len(fw.Sets) != 2 {
		t.Errorf("firewall: %+v, %v", fw, err)
	}
	if fw, err := c.VerifyFirewall(ctx); err != nil || fw.Verified != noon {
		t.Errorf("verify: %+v, %v", fw, err)
	}
	if text, err := c.Configuration(ctx); err != nil || text != "mode: enforce\n" {
		t.Errorf("configuration: %q, %v", text, err)
	}
}

func TestErrorsKeepTheirMeaning(t *testing.T) {
	r := start(t, Config{}, newFake())
	c, ctx := r.dial(t), t.Context()
	for _, sentinel := range []error{ErrInvalid, ErrNotFound, ErrRefused, ErrUnavailable} {
		r.fake.fail = sentinel
		err := c.Reload(ctx, "")
		if !errors.Is(err, sentinel) {
			t.Errorf("the appliance says %v, the client %v", sentinel, err)
		}
	}
	r.fake.fail = errors.New("the disk is on fire")
	err := c.Reload(ctx, "")
	if e, ok := errors.AsType[*APIError](err); !ok || e.Status != 500 || e.Message != "the disk is on fire" {
		t.Errorf("any other error: %v", err)
	}
	if !strings.Contains(r.audit.String(), `msg="action failed" action=reload`) {
		t.Errorf("failed action is not in the audit log:\n%s", r.audit)
	}
	if _, err := c.Blocks(ctx, Search{Limit: -1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("limit -1: %v", err)
	}
	if err := c.CloseBreaker(ctx, "", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("breaker of nobody: %v", err)
	}
	if _, err := c.Top(ctx, "colour", 1); !errors.Is(err, ErrInvalid) {
		t.Errorf("top by colour: %v", err)
	}
	if _, err := c.Block(ctx, -time.Hour, "", prefixes("192.0.2.1/32")...); !errors.Is(err, ErrInvalid) {
		t.Errorf("block for a negative time: %v", err)
	}
	if _, err := c.Resume(ctx, strings.Repeat("x", maxNote+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("long note: %v", err)
	}
}

func TestClientSendsLongListsInParts(t *testing.T) {
	r := start(t, Config{}, newFake())
	ps := make([]netip.Prefix, 2*maxPrefixes+1)
	for i := range ps {
		ps[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	res, err := r.dial(t).Block(t.Context(), time.Hour, "", ps...)
	if err != nil || len(res.Blocked) != len(ps) {
		t.Errorf("%d of %d blocked: %v", len(res.Blocked), len(ps), err)
	}
	if n := len(r.fake.done()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
}

func TestSocket(t *testing.T) {
	r := start(t, Config{}, newFake())
	path := filepath.Join(r.dir, SocketName)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket mode %v, %v; want 0660", info.Mode(), err)
	}
	if _, err := New(Config{}, Options{Appliance: r.fake, Gatherer: prometheus.NewRegistry(), StateDir: r.dir}); err == nil ||
		!strings.Contains(err.Error(), "another uppercut answers") {
		t.Errorf("a second appliance in the same directory: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays after the end: %v", err)
	}
	if _, err := Dial(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dial after the end: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	crashed, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	crashed.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = crashed.Close()
	if _, err := Dial(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dial a stale socket: %v", err)
	}
	l, err := listenSocket(path)
	if err != nil {
		t.Fatalf("listen over a stale socket: %v", err)
	}
	_ = l.Close()
}
