package enforcer

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/enforcer/ledger"
)

func init() { roles["powerless"] = powerless }

// powerless starts without CAP_NET_ADMIN.
func powerless() error {
	o, err := childOptions()
	if err != nil {
		return err
	}
	_, err = New(childContext(), DefaultConfig(), o)
	if err == nil {
		return errors.New("New succeeds without CAP_NET_ADMIN")
	}
	o.Observe = true
	e, observeErr := New(childContext(), DefaultConfig(), o)
	if observeErr != nil {
		return fmt.Errorf("observe mode needs powers: %w", observeErr)
	}
	return errors.Join(say([]any{err.Error(), errors.Is(err, ErrPrivilege) && errors.Is(err, fs.ErrPermission)}), e.Close())
}

func TestWithoutCapability(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string][]string{
		"another user":             {"ip", "netns", "exec", "NS", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"},
		"root without capability":  {"ip", "netns", "exec", "NS", "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"},
		"a user namespace without": {"ip", "netns", "exec", "NS", "unshare", "--user", "--map-root-user"},
	} {
		t.Run(name, func(t *testing.T) {
			ns := newKernel(t)
			dir := openDir(t)
			wrap[3] = ns.Name() // from within: who has no powers cannot go there
			out, err := child(t, "powerless", nil, dir, wrap...).Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, want := range []string{"CAP_NET_ADMIN", "grant it", "mode: observe", ",true]"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in %s", want, out)
				}
			}
			if n := bytes.Count(out, []byte("\\n")); n != 0 {
				t.Errorf("%d line breaks in %s", n, out)
			}
		})
	}
}

// openDir is a directory that anybody can write to, and the test binary reach.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "uc-enf-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // so that another user can write there
		t.Fatal(err)
	}
	return dir
}

func TestKernelRefusesAndTakesAgain(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.CheckInterval = 50 * time.Millisecond
	a := start(t, c, options(t, ns))
	a.fill(10)
	if err := a.firewall.Close(); err != nil { // whatever is asked now fails
		t.Fatal(err)
	}
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.flush() // nobody waits for the kernel for ever
	if _, ok := a.Lookup(netip.MustParseAddr("192.0.2.1")); !ok || a.Healthy() == nil {
		t.Errorf("in the list: %v, healthy: %v", ok, a.Healthy())
	}
	if _, err := a.Unblock(t.Context(), "op", "", prefix("100.0.0.1/32")); err == nil {
		t.Error("an unblock that did not reach the kernel succeeds")
	}
	eventually(t, slack*5*time.Second, "new sockets, and all is in the kernel", func() bool {
		return a.Healthy() == nil && a.whole(10)
	})
	if got := ns.elements(t, "block4"); got[prefix("192.0.2.1/32")] == 0 || got[prefix("100.0.0.1/32")] != 0 {
		t.Errorf("in the kernel: %v", got)
	}
	if testutil.ToFloat64(a.metrics.failures.WithLabelValues("add"))+testutil.ToFloat64(a.metrics.failures.WithLabelValues("list")) == 0 {
		t.Error("the failure is not counted")
	}
}

func TestFullSetKeepsTheGuilty(t *testing.T) {
	ns := newKernel(t)
	c := DefaultConfig()
	c.MaxAddresses, c.MaxNetworks = 100, 4
	a := start(t, c, options(t, ns))
	now := time.Now()
	for i := range 300 {
		a.Block(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 32),
			At:     now, Until: now.Add(time.Hour), Rule: "burst", Score: float64(i),
		})
	}
	a.flush()
	if !a.whole(100) || a.Count() != 100 {
		t.Fatalf("%d blocks", a.Count())
	}
	for b := range a.Blocks() {
		if b.Score < 200 {
			t.Errorf("%v with score %v has stayed", b.Prefix, b.Score)
		}
	}
	refused, err := a.BlockNow(t.Context(), "op", "", now.Add(time.Hour), prefix("198.51.100.1/32"))
	if err != nil || refused != nil {
		t.Errorf("by hand: %v, %v", refused, err)
	}
	a.Block(Block{Prefix: prefix("198.51.100.2/32"), At: now, Until: now.Add(time.Hour), Rule: "burst", Score: 1})
	a.flush()
	if _, ok := a.Lookup(netip.MustParseAddr("198.51.100.2")); ok {
		t.Error("the least guilty of all has taken another's place")
	}
	for i := range 8 {
		a.Block(Block{
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16),
			At:     now, Until: now.Add(time.Hour), Rule: "burst", Score: float64(i),
		})
	}
	a.flush()
	if got := ns.elements(t, "block4_net"); len(got) != 4 || got[prefix("10.7.0.0/16")] == 0 {
		t.Errorf("networks: %v", got)
	}
	if testutil.ToFloat64(a.metrics.unblocks.WithLabelValues("capacity")) == 0 || testutil.ToFloat64(a.metrics.suppressed.WithLabelValues("set_full")) == 0 {
		t.Error("nothing is counted")
	}
}

// TestLostLedger: a start without the ledger opens the firewall, unless what is
// in the kernel is to be adopted.
func TestLostLedger(t *testing.T) {
	for foreign, want := range map[string]string{ForeignRemove: "", ForeignAdopt: "192.0.2.1/32 198.51.100.0/24"} {
		t.Run(foreign, func(t *testing.T) {
			ns := newKernel(t)
			c, o := DefaultConfig(), options(t, ns)
			a := start(t, c, o)
			a.Block(verdict("192.0.2.1/32", time.Hour))
			a.Block(verdict("198.51.100.0/24", time.Hour))
			a.flush()
			a.stop()
			if err := os.Remove(filepath.Join(o.StateDir, LedgerFile)); err != nil {
				t.Fatal(err)
			}
			c.Foreign = foreign
			start(t, c, o)
			if got := strings.Join(inKernel(t, ns), " "); got != want {
				t.Errorf("in the kernel: %q, want %q", got, want)
			}
		})
	}
}

// TestLeftoversAreTold: what a saved ruleset has brought back is removed at the
// start, and the log says so; without any it says nothing.
func TestLeftoversAreTold(t *testing.T) { onEachKernel(t, testLeftovers) }

func testLeftovers(t *testing.T, ns *kernel, o Options) {
	var log strings.Builder
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := start(t, DefaultConfig(), o)
	a.Block(verdict("192.0.2.1/32", time.Hour))
	a.Block(verdict("192.0.2.2/32", time.Hour))
	a.Block(verdict("198.51.100.0/24", time.Hour))
	a.flush()
	a.stop()
	start(t, DefaultConfig(), o).stop()
	if strings.Contains(log.String(), "saved ruleset") {
		t.Errorf("of its own blocks it says\n%s", log.String())
	}
	ns.nft(t, "add element inet uppercut block4 { 192.0.2.66 timeout 1h, 192.0.2.67 timeout 2h }")
	start(t, DefaultConfig(), o).stop()
	if !strings.Contains(log.String(), "saved ruleset") || !strings.Contains(log.String(), "elements=2") {
		t.Errorf("it says\n%s", log.String())
	}
	if got := strings.Join(inKernel(t, ns), " "); got != "192.0.2.1/32 192.0.2.2/32 198.51.100.0/24" {
		t.Errorf("in the kernel: %q", got)
	}
}

// TestLedgerTrouble: whatever is wrong with the ledger, the kernel's blocks
// stay, new ones are enforced, and somebody is told.
func TestLedgerTrouble(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(t *testing.T, path string)
		want    string
	}{
		{"damaged", func(t *testing.T, path string) {
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		}, "move the ledger away and restart, with enforcer.foreign: adopt"},
		{"no ledger", func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("x", 1<<16)) }, "it is damaged"},
		{"locked", func(t *testing.T, path string) {
			l, err := ledger.Open(path, ledger.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "stop the other uppercut"},
		{"a directory", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "make sure that state_dir is writable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ns := newKernel(t)
			o := options(t, ns)
			a := start(t, DefaultConfig(), o)
			a.Block(verdict("192.0.2.1/32", time.Hour))
			a.Block(verdict("198.51.100.0/24", time.Hour))
			a.flush()
			a.stop()
			tt.trouble(t, filepath.Join(o.StateDir, LedgerFile))

			var log bytes.Buffer
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			b, err := New(t.Context(), DefaultConfig(), o)
			if err != nil {
				t.Fatal(err)
			}
			if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, tt.want) {
				t.Errorf("no %q in %s", tt.want, got)
			}
			r := runEnforcer(t, b)
			r.Block(verdict("192.0.2.2/32", time.Hour))
			r.flush()
			if got := strings.Join(inKernel(t, ns), " "); got != "192.0.2.1/32 192.0.2.2/32 198.51.100.0/24" {
				t.Errorf("in the kernel: %s", got)
			}
			if testutil.ToFloat64(r.metrics.ledgerOK) != 0 || r.Show().Saving {
				t.Error("it says that blocks are saved")
			}
		})
	}
}

// TestFullDisk puts the ledger on a small file system.
// fullDisk returns options with a state directory on a disk of its own, and what
// fills it, and makes room again.
func fullDisk(t *testing.T, ns *kernel) (o Options, fill, empty func()) {
	t.Helper()
	o = options(t, ns)
	o.Logger = nil
	if err := syscall.Mount("tmpfs", o.StateDir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(o.StateDir, syscall.MNT_DETACH) })
	ballast := filepath.Join(o.StateDir, "ballast")
	fill = func() {
		b, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		for chunk := make([]byte, 4096); err == nil; {
			_, err = b.Write(chunk)
		}
		b.Close()
	}
	empty = func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
	return o, fill, empty
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o, fill, empty := fullDisk(t, ns)
	c := DefaultConfig()
	c.Unsaved = UnsavedAcknowledge
	a := start(t, c, o)
	fill()
	a.fill(5000)
	if !a.whole(5000) {
		t.Error("blocks are not enforced when they cannot be saved")
	}
	if testutil.ToFloat64(a.metrics.ledgerOK) != 0 || testutil.ToFloat64(a.metrics.saveFailures) == 0 || a.Show().Saving {
		t.Error("it says that blocks are saved")
	}
	lifted, err := a.Unblock(t.Context(), "op", "", prefix("100.0.0.1/32"))
	if !errors.Is(err, ErrUnsaved) || len(lifted) != 1 {
		t.Errorf("an unblock that is in force and not saved: %v, %v", lifted, err)
	}
	empty()
	eventually(t, slack*40*time.Second, "what could not be saved is saved", func() bool {
		return testutil.ToFloat64(a.metrics.ledgerOK) == 1
	})
	a.stop()
	if c := start(t, c, o); c.Count() != 4999 {
		t.Errorf("%d blocks after a restart", c.Count())
	}
}

// TestNothingIsAcknowledgedThatIsNotSaved: with a full disk blocks are in the kernel,
// and who waits for the ledger waits until there is room again.
func TestNothingIsAcknowledgedThatIsNotSaved(t *testing.T) {
	t.Parallel()
	ns := newKernel(t)
	o, fill, empty := fullDisk(t, ns)
	a := start(t, DefaultConfig(), o)
	a.Block(verdict("100.0.0.1/32", time.Hour))
	a.flush()
	fill()
	for i := range 3000 { // more than the free pages of the ledger hold
		a.Block(verdict(fmt.Sprintf("100.1.%d.%d/32", i>>8, i&255), time.Hour))
	}
	saved := make(chan struct{})
	a.Flushed(func() { close(saved) })
	eventually(t, slack*5*time.Second, "all is in the kernel", func() bool { return a.whole(3001) })
	if _, err := a.BlockNow(t.Context(), "op", "", time.Now().Add(time.Hour), prefix("100.0.0.2/32")); !errors.Is(err, ErrUnsaved) {
		t.Errorf("an order: %v", err)
	}
	select {
	case <-saved:
		t.Error("acknowledged, and not on the disk")
	default:
	}
	empty()
	eventually(t, slack*40*time.Second, "acknowledged when there is room", func() bool {
		select {
		case <-saved:
			return true
		default:
			return false
		}
	})
	a.stop()
	if c := start(t, DefaultConfig(), o); c.Count() != 3002 {
		t.Errorf("%d blocks after a restart", c.Count())
	}
}
