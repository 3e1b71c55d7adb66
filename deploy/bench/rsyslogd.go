package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"uppercut/deploy/netns"
)

// rsyslogd is a running rsyslogd that writes what comes over one transport to a
// file, each message as it came. The input has a queue of its own, taken off in
// large batches.
type rsyslogd struct {
	*process
	ns   *netns.Namespace
	file string
	// held is the most that the output may keep back, in bytes.
	held int64
}

// outputs are the ways to write the file.
var outputs = map[string]output{
	// What an administrator gets: all of a batch is in the file before the
	// next one is taken off the queue.
	"flushed": {},
	// The fastest that we found: a crash loses what is in the buffer.
	"buffered": {
		queue:  `queue.workerThreads="2"`,
		action: `ioBufferSize="256k" flushOnTXEnd="off"`,
		held:   256 << 10,
	},
}

// output is what one way to write adds to the queue and to the action.
type output struct {
	queue, action string
	held          int64 // of rsyslogd.held
}

// rsyslogInputs are module and input of each transport.
var rsyslogInputs = map[string]string{
	"tcp": `module(load="imptcp" threads="2")
input(type="imptcp" address="127.0.0.1" port="5514" ruleset="in")`,
	"tls": `module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="6514" ruleset="in")`,
	"relp": `module(load="imrelp")
input(type="imrelp" address="127.0.0.1" port="2514" ruleset="in")`,
	"udp": `module(load="imudp" threads="2" batchSize="128")
input(type="imudp" address="127.0.0.1" port="5514" rcvbufSize="33554432" ruleset="in")`,
}

// startRsyslogd returns when rsyslogd says that its inputs are up.
func (b *bench) startRsyslogd(ctx context.Context, dir, transport string, o output) (*rsyslogd, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	r := &rsyslogd{ns: ns, file: filepath.Join(dir, "out"), held: o.held}
	pid := filepath.Join(dir, "pid")
	config := filepath.Join(dir, "rsyslog.conf")
	text := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="64k"
 defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="in" queue.type="FixedArray" queue.size="200000" queue.dequeueBatchSize="2048" %s) {
 action(type="omfile" file=%q template="raw" %s)
}
%s
`, dir, b.authorityFile(), b.certFile(), b.keyFile(), o.queue, r.file, o.action, rsyslogInputs[transport])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		ns.Close()
		return nil, err
	}
	r.process, err = launch(ctx, ns, filepath.Join(dir, "log"), "rsyslogd", "-n", "-f", config, "-i", pid)
	if err != nil {
		ns.Close()
		return nil, err
	}
	if err := r.await(ctx, 5*time.Millisecond, func() (bool, error) { return r.listens(transport) }); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *rsyslogd) stop() {
	r.process.stop()
	r.ns.Close()
}

// written is how many bytes are in the file.
func (r *rsyslogd) written() (int64, error) {
	info, err := os.Stat(r.file)
	if os.IsNotExist(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// wrote reports whether size bytes are in the file. What the output keeps back at
// the end it writes when it is told to open its file anew.
func (r *rsyslogd) wrote(size int64) (bool, error) {
	n, err := r.written()
	if err == nil && n < size && n >= size-r.held {
		err = r.cmd.Process.Signal(syscall.SIGHUP)
	}
	return n >= size, err
}

// ports are the ports of the addresses above as the kernel's tables show them.
var ports = map[string]struct{ table, port string }{
	"tcp":  {"tcp", ":158A "},
	"tls":  {"tcp", ":1972 "},
	"relp": {"tcp", ":09D2 "},
	"udp":  {"udp", ":158A "},
}

// listens looks into the tables of the namespace; a connection would be a
// message to some inputs.
func (r *rsyslogd) listens(transport string) (bool, error) {
	want := ports[transport]
	for _, table := range []string{want.table, want.table + "6"} {
		sockets, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", r.cmd.Process.Pid, table))
		if err != nil {
			return false, nil //nolint:nilerr // it has ended, which await finds out
		}
		if strings.Contains(string(sockets), want.port) {
			return true, nil
		}
	}
	return false, nil
}
