package compose

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// patience is how long anything may take to happen.
const patience = 60 * time.Second

// host is a network namespace: the host whose network the containers share.
type host struct{ netns string }

func newHost(t *testing.T) host {
	t.Helper()
	h := host{fmt.Sprintf("upc%d", os.Getpid())}
	output(t, "ip", "netns", "add", h.netns)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", h.netns).CombinedOutput(); err != nil {
			t.Errorf("remove the namespace: %v\n%s", err, out)
		}
	})
	output(t, "ip", "-n", h.netns, "link", "set", "lo", "up")
	return h
}

// command prepares a program of this machine to run in the host's network.
func (h host) command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.netns, name}, args...)...)
}

// until waits for something to happen.
func until(t *testing.T, what string, happened func() error) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := happened()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

// appliance is the service uppercut of the compose file as an engine would run
// it, with this environment, on a volume of its own.
func appliance(t *testing.T, environment ...string) container {
	t.Helper()
	built := images.build(t, "linux/"+runtime.GOARCH)
	rootfs := built.rootfs
	s := service(t, load(t, environment...), "uppercut")
	c := container{
		Rootfs: rootfs, ReadOnly: s.ReadOnly, Capabilities: s.CapAdd,
		Args: slices.Concat(built.config.Config.Entrypoint, built.config.Config.Cmd),
	}
	if s.User != "0:0" {
		t.Fatalf("the compose file says user %s", s.User)
	}
	for name, value := range s.Environment.ToMapping() {
		c.Env = append(c.Env, name+"="+value)
	}
	for _, v := range s.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = volume(t, filepath.Join(rootfs, v.Target))
		}
		c.Mounts = append(c.Mounts, mount{source, v.Target, v.ReadOnly})
	}
	// An engine makes it where the image has none.
	if err := os.MkdirAll(filepath.Join(rootfs, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return c
}

// volume makes a new volume: with owner and mode of what the image has there.
func volume(t *testing.T, in string) string {
	t.Helper()
	dir := t.TempDir()
	var st syscall.Stat_t
	if err := syscall.Stat(in, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, os.FileMode(st.Mode&0o777)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (c container) healthy(t *testing.T, h host) {
	t.Helper()
	until(t, "uppercut health", func() error {
		out, err := c.run(t, h.netns, "", "health")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// TestApplianceRuns as `docker compose up -d` would have it, first with no edit,
// then with the one variable that makes it enforce, on the same volume.
func TestApplianceRuns(t *testing.T) {
	h := newHost(t)
	c := appliance(t)
	for _, mode := range []string{"observe", "enforce"} {
		if mode == "enforce" {
			c.Env = append(c.Env, "UPPERCUT_MODE=enforce")
		}
		uppercut := c.start(t, h.netns)
		c.healthy(t, h)

		const bounding = "0000000000001400" // NET_ADMIN and NET_BIND_SERVICE
		if got := uppercut.status(t, "CapBnd"); got != bounding || uppercut.status(t, "NoNewPrivs") != "1" {
			t.Errorf("%s: bounding set %s, no new privileges %s", mode, got, uppercut.status(t, "NoNewPrivs"))
		}
		err := h.command("nft", "list", "table", "inet", "uppercut").Run()
		if enforces := err == nil; enforces != (mode == "enforce") {
			t.Errorf("%s: there is a table: %v", mode, enforces)
		}
		if out, err := c.run(t, h.netns, "", "version"); err != nil || !strings.HasPrefix(out, "uppercut "+version+" ") {
			t.Errorf("version: %v %s", err, out)
		}
		onlyLoopback(t, h)
		uppercut.stop(t)
	}
}

// Where it needs no capability it needs not be root either: as the image's own
// user it observes and judges old logs, and a zone has a name.
func TestApplianceWithoutRoot(t *testing.T) {
	h := newHost(t)
	c := appliance(t)
	c.User, c.Capabilities = 65532, nil
	uppercut := c.start(t, h.netns)
	c.healthy(t, h)
	if got := uppercut.status(t, "Uid"); !strings.HasPrefix(got, "65532\t65532") {
		t.Errorf("it runs as %s", got)
	}
	uppercut.stop(t)
	const line = "Nov 23 08:13:28 mx3 sm-mta[52]: 6ANJY8aV000052: ruleset=check_rcpt, arg1=<a@example.net>, relay=[198.51.100.49], reject=550 5.7.1 <a@example.net>... Relaying denied\n"
	out, err := c.run(t, h.netns, line, "replay", "--events", "--zone", "Europe/Berlin", "-")
	if err != nil || !strings.Contains(out, `"addr":"198.51.100.49","reason":"relay_denied"`) {
		t.Errorf("replay: %v\n%s", err, out)
	}
}

// TestMonitoring runs Debian's Prometheus and Alertmanager with the arguments
// and files of the compose file beside the appliance: they find it, the rules
// and each other.
func TestMonitoring(t *testing.T) {
	h := newHost(t)
	c := appliance(t)
	c.start(t, h.netns)
	c.healthy(t, h)
	p := load(t)
	h.service(t, service(t, p, "alertmanager"), "prometheus-alertmanager")
	h.service(t, service(t, p, "prometheus"), "prometheus")

	until(t, "uppercut is scraped", func() error {
		return h.answers("127.0.0.1:9090/api/v1/query?query=up{job=\"uppercut\"}", `,"1"]`)
	})
	until(t, "Prometheus knows the Alertmanager", func() error {
		return h.answers("127.0.0.1:9090/api/v1/alertmanagers", `"url":"http://127.0.0.1:9093/api/v2/alerts"`)
	})
	until(t, "the rules are loaded", func() error {
		return h.answers("127.0.0.1:9090/api/v1/rules", `"UppercutDown"`)
	})
	until(t, "the Alertmanager is ready", func() error {
		return h.answers("127.0.0.1:9093/api/v2/receivers", `"operators"`)
	})
	onlyLoopback(t, h)
}

// service runs a program of this machine as the compose file runs its image:
// with its arguments, and its files in a directory that stands for the root.
func (h host) service(t *testing.T, s types.ServiceConfig, program string) {
	t.Helper()
	dir := t.TempDir()
	for _, v := range s.Volumes {
		target := filepath.Join(dir, v.Target)
		if v.Type != types.VolumeTypeBind {
			if err := os.MkdirAll(target, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, []byte(read(t, v.Source)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for _, arg := range s.Command {
		args = append(args, strings.Replace(arg, "=/", "="+dir+"/", 1))
	}
	cmd := h.command(program, args...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, log.String())
		}
	})
}

// answers asks over HTTP for JSON that holds want.
func (h host) answers(url, want string) error {
	out, err := h.command("curl", "--silent", "--show-error", "--globoff", "--max-time", "5", "http://"+url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", url, err, out)
	}
	if !json.Valid(out) || !strings.Contains(string(out), want) {
		return fmt.Errorf("%s: no %s in %.2000s", url, want, out)
	}
	return nil
}

// onlyLoopback looks at every socket that listens in the host's network.
func onlyLoopback(t *testing.T, h host) {
	t.Helper()
	out, err := h.command("ss", "--no-header", "--listening", "--numeric", "--tcp", "--udp").Output()
	if err != nil {
		t.Fatal(err)
	}
	listeners := 0
	for line := range strings.Lines(string(out)) {
		listeners++
		addr, err := netip.ParseAddrPort(strings.Fields(line)[4])
		if err != nil || !addr.Addr().IsLoopback() {
			t.Errorf("not on loopback: %s", line)
		}
	}
	if listeners < 3 { // syslog twice, page
		t.Errorf("who listens?\n%s", out)
	}
}
