package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "log")
	c := DefaultConfig()
	c.UDP, c.TCP, c.Unix, c.MaxMessageSize = nil, nil, []string{path}, 1024
	h := open(t, c)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != unixMode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	conn := dial(t, "unixgram", path)
	const count = 500
	for i := range count {
		write(t, conn, fmt.Sprintf("<22>Nov 23 07:33:23 sendmail[17608]: number %d", i))
	}
	write(t, conn, "<22>Nov 23 07:33:23 sendmail[1]: "+strings.Repeat("x", 2000))
	messages := h.wait(t, count+1)
	for i, m := range messages[:count] {
		if m.Sender != "unix" || m.Transport != Unix || m.Addr.IsValid() || m.Host != "" || m.Text != fmt.Sprint("number ", i) {
			t.Fatalf("%+v", m)
		}
	}
	if n := len(messages[count].Text); n > 1024 || h.metric(t, "uppercut_messages_truncated_total", "listener", "unix") != 1 {
		t.Errorf("the long message has %d bytes", n)
	}
	if _, err := New(c, Options{Handle: h.take}); err == nil || !strings.HasPrefix(err.Error(), "unix[0]: ") {
		t.Errorf("a second receiver: %v", err)
	}
	h.stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestUnixSocketStale replaces a socket that a killed process left, and
// nothing that is not a socket.
func TestUnixSocketStale(t *testing.T) {
	path := filepath.Join(shortDir(t), "log")
	stale, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	stale.Close()
	c := DefaultConfig()
	c.UDP, c.TCP, c.Unix = nil, nil, []string{path}
	open(t, c).stop()
	writeFile(t, path, "precious")
	if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestInheritedSockets sends before the receiver is there and after it was
// restarted: as with systemd's sockets nothing is lost.
func TestInheritedSockets(t *testing.T) {
	dir := shortDir(t)
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := control(raw, wantInterface); err != nil { // PassPacketInfo=yes
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	defer tcp.Close()
	defer local.Close()
	passed := func() (files []*os.File) {
		for _, s := range []interface{ File() (*os.File, error) }{udp, tcp.(*net.TCPListener), local} {
			f, err := s.File()
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		return files
	}
	c := DefaultConfig()
	c.UDP, c.TCP, c.Unix = []string{udp.LocalAddr().String()}, []string{tcp.Addr().String()}, []string{local.LocalAddr().String()}
	count := 0
	for range 2 {
		write(t, dial(t, "udp", c.UDP[0]), line(1))
		write(t, dial(t, "tcp", c.TCP[0]), line(2)+"\n")
		write(t, dial(t, "unixgram", c.Unix[0]), line(3))
		h := &house{arrived: make(chan struct{})}
		r, err := New(c, Options{Handle: h.take, Inherited: passed()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		count += len(h.wait(t, 3))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if count != 6 {
		t.Errorf("%d messages", count)
	}
	c.UDP, c.TCP, c.Unix = nil, nil, nil
	r, err := New(c, Options{Inherited: passed()})
	if err != nil || len(r.Addrs(UDP)) != 1 || len(r.Addrs(TCP)) != 1 || len(r.Addrs(Unix)) != 1 {
		t.Fatalf("sockets that no key lists are not taken: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(local.LocalAddr().String()); err != nil {
		t.Error("a socket of systemd's was removed")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, Options{Inherited: []*os.File{null}}); err == nil || !strings.Contains(err.Error(), "not a listening socket") {
		t.Errorf("a file that is no socket: %v", err)
	}
}

// TestKernelDrops stops reading and floods: what the kernel dropped is counted
// exactly.
func TestKernelDrops(t *testing.T) {
	c := testConfig()
	c.ReceiveBuffer, c.Readers = 64<<10, 1
	release := make(chan struct{})
	h := &house{arrived: make(chan struct{})}
	busy := openWith(t, c, func(batch []Message, judged, _ func()) {
		<-release
		h.take(batch, judged, nil)
	})
	conn := dial(t, "udp", busy.address(UDP))
	const sent = 5000
	for i := range sent {
		write(t, conn, line(i))
	}
	close(release)
	eventually(t, "every datagram is received or counted", func() bool {
		return int(busy.metric(t, "uppercut_udp_kernel_drops_total"))+len(h.all()) == sent
	})
	if len(h.all()) == sent {
		t.Error("nothing was dropped")
	}
	busy.stop()
	if n := int(busy.metric(t, "uppercut_udp_kernel_drops_total")); n+len(h.all()) != sent {
		t.Errorf("%d drops after the end", n)
	}
}

// TestStopEmptiesTheSocket stops while the handler is busy and the buffer full,
// for longer than a stopping reader waits for datagrams on their way.
func TestStopEmptiesTheSocket(t *testing.T) {
	local := filepath.Join(shortDir(t), "log")
	for _, test := range []struct {
		name      string
		transport Transport
		network   string
		sent      int // fits into the socket
		timeout   time.Duration
		dropped   bool
	}{
		{"in time", UDP, "udp", 5000, patience, false},
		{"too late", UDP, "udp", 5000, 0, true},
		{"local, in time", Unix, "unixgram", 8, patience, false},
		{"local, too late", Unix, "unixgram", 8, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testConfig()
			c.Unix, c.Readers, c.StopTimeout = []string{local}, 1, test.timeout
			busy, release := make(chan struct{}, 1000), make(chan struct{})
			h := &house{arrived: make(chan struct{})}
			r := openWith(t, c, func(batch []Message, judged, _ func()) {
				busy <- struct{}{}
				<-release
				h.take(batch, judged, nil)
			})
			conn := dial(t, test.network, r.address(test.transport))
			write(t, conn, line(0))
			<-busy
			for i := range test.sent - 1 {
				write(t, conn, line(i+1))
			}
			timer := time.AfterFunc(3*drainGrace, func() { close(release) })
			defer timer.Stop()
			r.stop()
			dropped := int(r.metric(t, "uppercut_messages_dropped_total", "listener", test.transport.String(), "reason", dropShutdown))
			if got := len(h.all()); got+dropped != test.sent || (dropped > 0) != test.dropped {
				t.Errorf("%d received and %d dropped of %d", got, dropped, test.sent)
			}
		})
	}
}

// TestDiscardEnds empties a socket while its sender goes on.
func TestDiscardEnds(t *testing.T) {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	conn := dial(t, "udp", socket.LocalAddr().String())
	for i := range 100 {
		write(t, conn, line(i))
	}
	var sending sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer sending.Wait()
	defer stop()
	for range 2 {
		sending.Go(func() {
			for ctx.Err() == nil {
				_, _ = conn.Write([]byte(line(0)))
			}
		})
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := discard(raw, open(t, testConfig()).metrics.of(UDP)); err != nil {
		t.Fatal(err)
	}
	_ = socket.SetReadDeadline(time.Now().Add(drainGrace))
	if n, _, err := socket.ReadFrom(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came after the end", n)
	}
}

// TestReceiveBuffer has what was asked for, which the kernel doubles, whatever
// net.core.rmem_max says.
func TestReceiveBuffer(t *testing.T) {
	h := open(t, testConfig())
	sockets := len(h.udp)
	if got := int(h.metric(t, "uppercut_udp_receive_buffer_bytes")); got < sockets*2*DefaultConfig().ReceiveBuffer {
		t.Errorf("%d bytes in %d sockets", got, sockets)
	}
}

// TestBurst sends 50,000 datagrams into the idle receiver.
func TestBurst(t *testing.T) {
	h := open(t, testConfig())
	conn := dial(t, "udp", h.address(UDP))
	const sent = 50_000
	for i := range sent {
		write(t, conn, line(i))
	}
	eventually(t, "every datagram is received or counted", func() bool {
		return len(h.all())+int(h.metric(t, "uppercut_udp_kernel_drops_total")) == sent
	})
	t.Logf("%d sent, %d received", sent, len(h.all()))
	if lost := sent - len(h.all()); lost > 0 && !raceEnabled {
		t.Errorf("%d lost", lost)
	}
}

// TestDescriptorsRunOut leaves one descriptor, for a client: accepting it must
// wait until the silent connection has made room.
func TestDescriptorsRunOut(t *testing.T) {
	h := open(t, testConfig())
	dial(t, "tcp", h.address(TCP))
	eventually(t, "a connection", func() bool { return h.metric(t, "uppercut_connections") == 1 })
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) }()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 200, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	var spare []int
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			break
		}
		spare = append(spare, fd)
	}
	defer func() {
		for _, fd := range spare {
			_ = unix.Close(fd)
		}
	}()
	_ = unix.Close(spare[0])
	spare = spare[1:]
	client := dial(t, "tcp", h.address(TCP))
	write(t, client, line(1)+"\n")
	h.wait(t, 1)
	if h.metric(t, "uppercut_connections_rejected_total", "reason", refuseDescriptors) == 0 ||
		h.metric(t, "uppercut_connections_rejected_total", "reason", refuseSilent) == 0 {
		t.Error("accepted without a descriptor")
	}
}

func TestConfigErrors(t *testing.T) {
	a := newAuthority(t, "test")
	other := newAuthority(t, "other")
	good := tlsConfig(t, a)
	other.issue(t, collector, time.Now().Add(time.Hour))
	good.UDP = []string{"127.0.0.1:0"}
	tests := []struct {
		name string
		edit func(*Config)
		want []string
	}{
		{"no port", func(c *Config) { c.UDP = []string{"127.0.0.1"} }, []string{"udp[0]: ", "not an address with a port"}},
		{"twice", func(c *Config) { c.TCP = []string{":1", ":1"} }, []string{"tcp[1]: ", "twice"}},
		{"message size", func(c *Config) { c.MaxMessageSize = 10 }, []string{"max_message_size: 10 "}},
		{"stop timeout", func(c *Config) { c.StopTimeout = time.Hour }, []string{"stop_timeout: 1h0m0s "}},
		{"few connections", func(c *Config) { c.MaxConnectionsPerSender = 7 }, []string{"max_connections_per_sender: 7 "}},
		{"relative path", func(c *Config) { c.Unix = []string{"log"} }, []string{"unix[0]: ", "absolute"}},
		{"zero network", func(c *Config) { c.Senders = []netip.Prefix{{}} }, []string{"senders[0]: "}},
		{"host twice", func(c *Config) { c.Hosts = []HostConfig{{Name: "a"}, {Name: "a"}} }, []string{"hosts[1].name: ", "twice"}},
		{"an address of two hosts", func(c *Config) {
			relay := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
			c.Hosts = []HostConfig{{Name: "mx1", Addresses: relay}, {Name: "mx2", Addresses: relay}}
		}, []string{"hosts[1].addresses[0]: 192.0.2.1/32 is listed for mx1, too; ", "list them without addresses"}},
		{"host without name", func(c *Config) { c.Hosts = []HostConfig{{}} }, []string{"hosts[0].name: "}},
		{"short silence", func(c *Config) { c.Hosts = []HostConfig{{Name: "a", Silence: time.Second}} }, []string{"hosts[0].silence: 1s "}},
		{"TLS version", func(c *Config) { c.TLS.MaxVersion = "1.1" }, []string{"tls.max_version: "}},
		{"no key file", func(c *Config) { c.TLS.KeyFile = "" }, []string{"tls.key_file: missing"}},
		{"no such file", func(c *Config) { c.TLS.CertFile = a.path("none") }, []string{"tls.cert_file: ", a.path("none"), "correct the path"}},
		{"key of another", func(c *Config) { c.TLS.KeyFile = other.path(collector + ".key") }, []string{"tls.key_file: ", other.path(collector + ".key"), good.TLS.CertFile}},
		{"no authority in the file", func(c *Config) { c.TLS.ClientCAFile = good.TLS.KeyFile }, []string{"tls.client_ca_file: ", good.TLS.KeyFile, "contains no certificate"}},
		{"names without authority", func(c *Config) { c.TLS.ClientCAFile, c.TLS.ClientNames = "", []string{"a"} }, []string{"tls.client_ca_file: missing"}},
		{"foreign address", func(c *Config) { c.TCP = []string{"192.0.2.1:5514"} }, []string{"tcp[0]: listen on 192.0.2.1:5514: ", "choose an address of this host"}},
		{"no directory", func(c *Config) { c.Unix = []string{"/nonexistent/log"} }, []string{"unix[0]: ", "directory exists"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.edit(&c)
			_, err := New(c, Options{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if !strings.HasPrefix(err.Error(), test.want[0]) {
				t.Errorf("error %q does not begin with the key", err)
			}
		})
	}
}

// TestNothingStaysBound has the last address in use and sees the first free
// again.
func TestNothingStaysBound(t *testing.T) {
	h := open(t, testConfig())
	c := testConfig()
	c.UDP = []string{freePort(t)}
	c.TCP = []string{freePort(t), h.address(TCP)}
	if _, err := New(c, Options{}); err == nil || !strings.HasPrefix(err.Error(), "tcp[1]: ") {
		t.Fatalf("error %v", err)
	}
	c.TCP = c.TCP[:1]
	r, err := New(c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestReconfigure(t *testing.T) {
	c := testConfig()
	h := open(t, c)
	conn := dial(t, "udp", h.address(UDP))
	write(t, conn, line(1))
	h.wait(t, 1)
	c.Senders = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	if err := h.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	write(t, conn, line(2))
	eventually(t, "a drop", func() bool {
		return h.metric(t, "uppercut_messages_dropped_total", "reason", dropSender) == 1
	})
	c.Senders = DefaultConfig().Senders
	c.Hosts = []HostConfig{{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}
	if err := h.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	write(t, conn, line(3))
	h.wait(t, 2)
	if s := h.Senders(); len(s) != 1 || s[0].Host != "mx1" || !s[0].Expected {
		t.Errorf("%+v", s)
	}
	c.TCP = []string{"127.0.0.1:1"}
	if err := h.Reconfigure(c); err == nil || !strings.HasPrefix(err.Error(), "tcp: ") {
		t.Errorf("error %v", err)
	}
}
