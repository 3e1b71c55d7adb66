package appliance

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"uppercut/cmd/uppercut/config"
)

// TestMemoryBudgetFollowsTheConfiguration: each limit that can be raised raises
// what the process may take.
func TestMemoryBudgetFollowsTheConfiguration(t *testing.T) {
	base := config.Default()
	for name, raise := range map[string]func(c *config.Config){
		"detector.max_sources":      func(c *config.Config) { c.Detector.MaxSources *= 10 },
		"detector.evidence_bytes":   func(c *config.Config) { c.Detector.EvidenceBytes *= 32 },
		"enforcer.max_addresses":    func(c *config.Config) { c.Enforcer.MaxAddresses *= 8 },
		"enforcer.max_networks":     func(c *config.Config) { c.Enforcer.MaxNetworks *= 16 },
		"receiver.max_connections":  func(c *config.Config) { c.Receiver.MaxConnections *= 4 },
		"receiver.max_message_size": func(c *config.Config) { c.Receiver.MaxMessageSize *= 16 },
		"receiver.receive_buffer":   func(c *config.Config) { c.Receiver.ReceiveBuffer *= 8 },
		"receiver.readers":          func(c *config.Config) { c.Receiver.Readers = 64 },
		"receiver.relp":             func(c *config.Config) { c.Receiver.RELP = []string{"127.0.0.1:2514"} },
		"web.max_connections":       func(c *config.Config) { c.Web.MaxConnections = 10_000 },
		"events.webhook.queue":      func(c *config.Config) { c.Events.Webhook.URL, c.Events.Webhook.Queue = "https://a", 1_000_000 },
		"events.syslog.queue":       func(c *config.Config) { c.Events.Syslog.Address, c.Events.Syslog.Queue = "udp://a:1", 1_000_000 },
	} {
		c := base
		raise(&c)
		before, after := MemoryBudget(&base), MemoryBudget(&c)
		if after.heap()+after.kernel <= before.heap()+before.kernel || after.total() <= before.total() {
			t.Errorf("%s: %d, before %d", name, after.total(), before.total())
		}
	}
}

// TestGoLimitIsWithinWhatThereIs leaves room for what is not Go's.
func TestGoLimitIsWithinWhatThereIs(t *testing.T) {
	c := config.Default()
	b := MemoryBudget(&c)
	for _, available := range []int{256 * mib, 1024 * mib, 4096 * mib, 1 << 40} {
		limit := b.goLimitWithin(available)
		if limit >= available || limit > b.goLimit() || limit < available/4 && limit < b.goLimit() {
			t.Errorf("%s: %s", byteSize(available), byteSize(limit))
		}
	}
}

// TestUnitHasTheBudget: the packaged unit gives what the defaults may take.
func TestUnitHasTheBudget(t *testing.T) {
	unit, err := os.ReadFile("../../../deploy/systemd/uppercut.service")
	if err != nil {
		t.Fatal(err)
	}
	packaged, err := config.Source{File: "../../../deploy/package/uppercut.yaml"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	packaged.Receiver.Readers = 4 // of a machine with four processors or more
	match := regexp.MustCompile(`(?m)^MemoryMax=(\d+)M$`).FindSubmatch(unit)
	if match == nil {
		t.Fatal("no MemoryMax")
	}
	if got, want := string(match[1]), strconv.Itoa(MemoryBudget(&packaged).total()/mib); got != want {
		t.Errorf("MemoryMax=%sM, the configuration of the package may take %sM", got, want)
	}
}

func TestAvailableMemory(t *testing.T) {
	const machine = "MemTotal:        8388608 kB\nMemFree: 1 kB\n"
	for name, test := range map[string]struct {
		groups string
		files  map[string]string
		want   int
		source string
	}{
		"no limit":          {"0::/system.slice/uppercut.service\n", map[string]string{"system.slice/uppercut.service/memory.max": "max\n"}, 8192 * mib, "the machine"},
		"own limit":         {"0::/system.slice/uppercut.service\n", map[string]string{"system.slice/uppercut.service/memory.max": "1073741824\n"}, 1024 * mib, "the control group"},
		"limit of a parent": {"0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "536870912\n"}, 512 * mib, "the control group"},
		"container":         {"0::/\n", map[string]string{"memory.max": "268435456\n"}, 256 * mib, "the control group"},
		"version 1":         {"4:memory:/a\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "1073741824\n"}, 1024 * mib, "the control group"},
		"version 1 without": {"4:cpu,memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 8192 * mib, "the machine"},
		"nothing known":     {"", nil, 8192 * mib, "the machine"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("proc/meminfo", machine)
			write("proc/self/cgroup", test.groups)
			for path, text := range test.files {
				write("sys/fs/cgroup/"+path, text)
			}
			if got, source := availableMemory(root); got != test.want || source != test.source {
				t.Errorf("%s of %s, want %s of %s", byteSize(got), source, byteSize(test.want), test.source)
			}
		})
	}
}

// TestCheckSaysTheBudget, and nothing when it is to be quiet.
func TestCheckSaysTheBudget(t *testing.T) {
	var out strings.Builder
	c := config.Default()
	MemoryBudget(&c).Print(&out)
	if !regexp.MustCompile(`^uppercut: memory: \S+ GiB at most .*MemoryMax=\d+M`).MatchString(out.String()) {
		t.Error(out.String())
	}
	t.Log(out.String())
}
