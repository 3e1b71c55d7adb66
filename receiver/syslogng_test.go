package receiver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"uppercut/receiver/header"
)

// syslogNG returns where Debian's syslog-ng is unpacked: it cannot be installed
// beside rsyslog. It is fetched once.
func syslogNG(t *testing.T) string {
	t.Helper()
	root := filepath.Join(os.TempDir(), "uppercut-syslog-ng")
	if _, err := os.Stat(filepath.Join(root, "usr/sbin/syslog-ng")); err == nil {
		return root
	}
	dir := t.TempDir()
	fetch := exec.Command("apt-get", "download", "syslog-ng-core", "libivykis0", "libpcre3", "libnet1")
	fetch.Dir = dir
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Fatalf("syslog-ng cannot be fetched: %v: %s", err, out)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(packages) != 4 {
		t.Fatalf("fetched %q, %v", packages, err)
	}
	for _, p := range packages {
		run(t, "dpkg", "-x", p, filepath.Join(dir, "root"))
	}
	run(t, "cp", "-r", filepath.Join(dir, "root"), root)
	return root
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// startSyslogNG starts syslog-ng with a forwarding configuration.
func startSyslogNG(t *testing.T, forward string) *mailHost {
	t.Helper()
	dir := shortDir(t)
	h := &mailHost{t: t, socket: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "syslog-ng.conf")
	writeFile(t, file, fmt.Sprintf(`@version: 3.38
options { stats-freq(0); keep-hostname(yes); log-fifo-size(100000); };
source s_src { unix-dgram(%q); };
`, h.socket)+forward)
	command := syslogNGCommand(t, dir, file)
	h.start(exec.Command(command[0], command[1:]...))
	return h
}

// syslogNGCommand runs syslog-ng in the foreground with a configuration file and
// all its state in dir.
func syslogNGCommand(t *testing.T, dir, file string) []string {
	t.Helper()
	root := syslogNG(t)
	libraries := filepath.Join(root, "usr/lib/syslog-ng") + ":" + filepath.Join(root, "usr/lib/x86_64-linux-gnu") + ":" + filepath.Join(root, "lib/x86_64-linux-gnu")
	return []string{
		"env", "LD_LIBRARY_PATH=" + libraries, filepath.Join(root, "usr/sbin/syslog-ng"), "--foreground", "--no-caps",
		"--cfgfile", file, "--module-path", filepath.Join(root, "usr/lib/syslog-ng/3.38"),
		"--persist-file", filepath.Join(dir, "persist"), "--control", filepath.Join(dir, "ctl"), "--pidfile", filepath.Join(dir, "pid"),
	}
}

// TestSyslogNG sends numbered messages with a real syslog-ng, configured by our
// own texts.
func TestSyslogNG(t *testing.T) {
	const count = 3000
	config, a := everyTransport(t)
	h := open(t, config)
	for transport, address := range map[string]string{"udp": h.address(UDP), "tcp": h.address(TCP), "tls": h.address(TLS)} {
		t.Run(transport, func(t *testing.T) {
			h.forget()
			text := forwardText(t, transport, address, a, true)
			if dir := shortDir(t); strings.Contains(text, "disk-buf-size") {
				text = strings.Replace(text, "disk-buf-size(1073741824)", fmt.Sprintf("disk-buf-size(10485760) dir(%q)", dir), 1)
			}
			startSyslogNG(t, text).log(1, count)
			h.wait(t, count)
			if lost, doubled := lostAndDoubled(numbers(h.all()), count); lost+doubled > 0 {
				t.Errorf("%d lost, %d doubled", lost, doubled)
			}
			for _, m := range h.all() {
				if m.SequenceID == 0 || m.Stamp != header.StampFull {
					t.Fatalf("%+v", m)
				}
			}
		})
	}
	if n := h.metric(t, "uppercut_messages_lost_total"); n != 0 {
		t.Errorf("%v messages seem lost", n)
	}
}
