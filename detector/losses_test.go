package detector

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"uppercut/detector/sendmail"
)

// TestLossOf: the texts are captured (systemd 252 and 257, rsyslog 8.2302 and
// 8.2504, syslog-ng 3.38) or taken from the sources of older versions.
func TestLossOf(t *testing.T) {
	unknown := loss{unknown: true}
	lines := func(n uint64) loss { return loss{lines: n} }
	queue := func(name string, n uint64) loss { return loss{lines: n, counter: name} }
	none := loss{}
	for _, test := range []struct {
		tag, text string
		want      loss
	}{
		{"systemd-journald", "Suppressed 45100 messages from sendmail.service", lines(45100)},
		{"systemd-journal", "Suppressed 917 messages from /", lines(917)},
		{"journal", "Suppressed 1 messages from /system.slice/sendmail.service", lines(1)},
		{"systemd-journald", "Forwarding to syslog missed 50087 messages.", lines(50087)},
		{"systemd-journald", "Missed 1427 kernel messages", none},
		{"systemd-journald", "Suppressed", none},
		{"systemd-journald", "Suppressed many messages from sendmail.service", none},
		{"systemd-journald", "Suppressed 0 messages from sendmail.service", none},
		{"systemd-journald", "Suppressed 99999999999999999999 messages from x", none},
		{"systemd-journald", "Journal stopped, Suppressed 5 messages from x", none},
		{"systemd-journald", "3 messages lost due to rate-limiting", none},
		{"rsyslogd", "imjournal from <mx1:sm-mta>: begin to drop messages due to rate-limiting", unknown},
		{"rsyslogd", "imuxsock[pid: 22993, name: /usr/sbin/sendmail-mta] from <mx1:sm-mta>: begin to drop messages due to rate-limiting", unknown},
		{"rsyslogd-2177", "imuxsock[pid 22830]: begin to drop messages due to rate-limiting", unknown},
		{"rsyslogd-2177", "imuxsock[pid: 5148, name: /usr/sbin/sendmail-mta]: 2950 messages lost due to rate-limiting (50 allowed within 2 seconds)", lines(2950)},
		{"rsyslogd", "imjournal: 236 messages lost due to rate-limiting (20000 allowed within 600 seconds)", lines(236)},
		{"rsyslogd", "imjournal: 236 messages lost due to rate-limiting", lines(236)},
		{"rsyslogd-2177", "imuxsock lost 94 messages from pid 14367 due to rate-limiting", lines(94)},
		{"rsyslogd", "uppercut queue[DA]: lost 12 messages from diskqueue (invalid .qi file)", lines(12)},
		{"rsyslogd", "uppercut queue: need to do hard cancellation", unknown},
		{"rsyslogd", "main Q: need to do cooperative cancellation - some data may be lost, increase timeout?", unknown},
		{"rsyslogd", "action 'uppercut' (module 'builtin:omfwd') message lost, could not be processed. Check for additional error messages before this one.", lines(1)},
		{"rsyslogd", "action 'db' (module 'ommysql') message lost, could not be processed. Check for additional error messages before this one.", none},
		{"rsyslogd", "action 'uppercut' suspended (module 'builtin:omfwd'), retry 0. There should be messages before this one giving the reason for suspension.", none},
		{"rsyslogd", `[origin software="rsyslogd" swVersion="8.2302.0" x-pid="2458" x-info="https://www.rsyslog.com"] start`, none},
		{"rsyslogd", " messages lost due to rate-limiting", none},
		{"rsyslogd-pstats", "uppercut queue: origin=core.queue size=1000 enqueued=5000 full=4000 discarded.full=4000 discarded.nf=7 maxqsize=1000", queue("uppercut queue", 4007)},
		{"rsyslogd-pstats", "uppercut queue[DA]: origin=core.queue size=4996 enqueued=155776 full=150780 discarded.full=150780 discarded.nf=0 maxqsize=4996", queue("uppercut queue[DA]", 150780)},
		{"rsyslogd-pstats", "main Q: origin=core.queue size=8 enqueued=5042 full=0 discarded.full=0 discarded.nf=0 maxqsize=382", queue("main Q", 0)},
		{"rsyslogd-pstats", "action-0-builtin:omfwd queue: origin=core.queue size=1 enqueued=1 full=0 discarded.full=3 discarded.nf=0 maxqsize=1", queue("action-0-builtin:omfwd queue", 3)},
		{"rsyslogd-pstats", "uppercut" + strings.Repeat("x", 100) + ": origin=core.queue discarded.full=3", none},
		{"rsyslogd-pstats", `{ "name": "uppercut queue", "origin": "core.queue", "size": 1000, "enqueued": 5000, "full": 4000, "discarded.full": 4000, "discarded.nf": 7, "maxqsize": 1000 }`, queue("uppercut queue", 4007)},
		{"rsyslogd-pstats", `@cee: { "name": "main Q", "origin": "core.queue", "size": 0, "enqueued": 9, "full": 0, "discarded.full": 0, "discarded.nf": 0, "maxqsize": 7 }`, queue("main Q", 0)},
		{"rsyslogd-pstats", `{ "name": "elastic queue", "origin": "core.queue", "discarded.full": 3 }`, none},
		{"rsyslogd-pstats", `{ "name": "uppercut", "origin": "core.action", "processed": 5 }`, none},
		{"rsyslogd", "problem on disk queue 'uppercut': queue files contain 12 messages fewer than specified in .qi file -- we lost those messages. That's all we know.", lines(12)},
		{"rsyslogd", "uppercut queue: queue holds 5 messages after shutdown of workers. queue.saveonshutdown is NOT set, so data will be discarded.", lines(5)},
		{"rsyslogd-pstats", "elastic queue: origin=core.queue size=1 enqueued=1 full=0 discarded.full=3 discarded.nf=0 maxqsize=1", none},
		{"rsyslogd-pstats", "imuxsock: origin=imuxsock submitted=6000 ratelimit.discarded=5 ratelimit.numratelimiters=1", none}, // told in a line of its own
		{"syslog-ng", "Destination queue full, dropping messages; queue_len='10000', log_fifo_size='10000', count='12', persist_name='x'", lines(12)},
		{"syslog-ng", "Destination queue full, dropping message; queue_len='10000', log_fifo_size='10000'", lines(1)},
		{"syslog-ng", "Destination reliable queue full, dropping message; filename='x.rqf', queue_len='1'", lines(1)},
		{"syslog-ng", "Multiple failures while sending message(s) to destination, message(s) dropped; driver='d', number_of_dropped_messages='3'", lines(3)},
		{"syslog-ng", "Message(s) dropped while sending message to destination; driver='d'", unknown},
		{"syslog-ng", "Log statistics; processed='destination(d_uppercut)=2000', dropped='dst.syslog(d_uppercut#0,tcp,127.0.0.1:1)=1900', dropped='dst.network(d_siem#0,tcp,192.0.2.1:514)=7', queued='dst.syslog(d_uppercut#0,tcp,127.0.0.1:1)=100'", queue("syslog-ng", 1900)},
		{"syslog-ng", "Log statistics; dropped='dst.syslog(d_uppercut#0,tcp,127.0.0.1:1)=0', dropped='dst.network(d_siem#0,tcp,192.0.2.1:514)=7'", queue("syslog-ng", 0)},
		{"syslog-ng", "Log statistics; dropped='dst.network(d_fleet#0,tcp,192.0.2.1:514)=7', dropped='dst.udp(d_b#0,udp,192.0.2.1:514)=2', dropped='dst.program(d_p#0,x)=5'", queue("syslog-ng", 9)},
		{"syslog-ng", "Log statistics; dropped='dst.program(d_p#0,x)=5', processed='source(s_src)=0'", none},
		{"rsyslogd-2177", "imuxsock begins to drop messages from pid 14367 due to rate-limiting", unknown},
		{"syslog-ng", "syslog-ng starting up; version='3.38.1'", none},
		// Others may write what they like.
		{"CRON", "Suppressed 45100 messages from sendmail.service", none},
		{"journalctl", "Suppressed 45100 messages from sendmail.service", none},
		{"xrsyslogd", "imjournal from <mx1:sm-mta>: begin to drop messages due to rate-limiting", none},
		{"sendmail", "rsyslogd: 3 messages lost due to rate-limiting", none},
		{"", "Suppressed 45100 messages from sendmail.service", none},
	} {
		got, ok := lossOf(daemonOf(test.tag), test.text)
		if ok != (test.want != none) || ok && got != test.want {
			t.Errorf("%s: %s: %+v, %v; want %+v", test.tag, test.text, got, ok, test.want)
		}
	}
}

// foreignLine is a line of another program on mx1.
func (b *bench) foreignLine(tag, text string, at time.Time) *Line {
	b.lines++
	l := &Line{Number: b.lines, Sender: "10.0.0.1", Host: "mx1", Tag: tag, Received: at, Time: at, Stamp: StampFull}
	l.Record.Text = text
	return l
}

// hostLines is what is known of the lines of mx1.
func (b *bench) hostLines() HostLines {
	b.t.Helper()
	all := b.d.HostLines()
	if len(all) != 1 {
		b.t.Fatalf("%d hosts: %+v", len(all), all)
	}
	return all[0]
}

// labelled gives hosts the labels of their names.
func labelled(_ *Config, o *Options) {
	o.HostLabel = func(_, host string) string { return clone(host) }
}

func TestLossesAreCounted(t *testing.T) {
	b := newBench(t, labelled)
	now := noon
	tell := func(tag, text string) {
		now = now.Add(time.Second)
		b.d.Observe(b.foreignLine(tag, text, now))
	}
	tell("systemd-journald", "Suppressed 45100 messages from sendmail.service")
	b.d.Observe(b.foreignLine("systemd-journald", "Suppressed 45100 messages from sendmail.service", now)) // sent again
	tell("rsyslogd", "imjournal from <mx1:sm-mta>: begin to drop messages due to rate-limiting")
	pstats := func(n int) string {
		return fmt.Sprintf("uppercut queue: origin=core.queue size=1 enqueued=5 full=4 discarded.full=%d discarded.nf=0 maxqsize=9", n)
	}
	for _, n := range []int{100, 100, 150, 10} { // a counter; at last of a daemon that started anew
		tell("rsyslogd-pstats", pstats(n))
	}
	l := b.hostLines()
	if l.Lost != 45100+100+50+10 || l.LostUntold != 1 || !l.LastLoss.Equal(now) || l.LossText != pstats(10) {
		t.Errorf("%+v", l)
	}
	if l.Foreign != 0 || l.NothingUnderstood(now) {
		t.Errorf("what tells of losses is no foreign line: %+v", l)
	}
	m := b.d.metrics
	for i, test := range []struct {
		counter prometheus.Collector
		want    float64
	}{{m.sourceLost, 45260}, {m.sourceLosses, 1}, {m.foreign, 0}, {m.duplicates, 1}} {
		if got := testutil.ToFloat64(test.counter); got != test.want {
			t.Errorf("counter %d is %v, want %v", i, got, test.want)
		}
	}
}

// TestNothingUnderstood: a host is told of after ten lines of no use, and no
// longer once one was understood, for a day.
func TestNothingUnderstood(t *testing.T) {
	parser, err := sendmail.NewParser(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := noon
	var b *bench
	foreign := func() { b.d.Observe(b.foreignLine("3f2a1b4c5d6e", "sendmail[123]: hello", now)) }
	read := func(text string) {
		l := b.foreignLine("sendmail", text, now)
		l.PID = 7
		parser.Parse(text, &l.Record)
		b.d.Observe(l)
	}
	for _, test := range []struct {
		name string
		do   func()
		want bool
	}{
		{"nothing came", func() {}, false},
		{"nine foreign", func() { repeat(9, foreign) }, false},
		{"ten foreign", func() { repeat(10, foreign) }, true},
		{"ten unknown", func() { repeat(10, func() { read("no sendmail writes this") }) }, true},
		{"five of each", func() { repeat(5, foreign); repeat(5, func() { read("no sendmail writes this") }) }, true},
		{"one of ten is read", func() { repeat(99, foreign); read("NOQUEUE: connect from x [192.0.2.1]") }, false},
		{"another program, for a while", func() {
			read("NOQUEUE: connect from x [192.0.2.1]")
			now = now.Add(23 * time.Hour)
			repeat(99, foreign)
		}, false},
		{"read until yesterday", func() {
			read("NOQUEUE: connect from x [192.0.2.1]")
			now = now.Add(25 * time.Hour)
			repeat(10, foreign)
		}, true},
		{"log daemons speak for themselves", func() {
			repeat(99, func() { b.d.Observe(b.foreignLine("rsyslogd", "start", now)) })
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, now = newBench(t, labelled), noon
			test.do()
			got := false
			for _, l := range b.d.HostLines() {
				got = got || l.NothingUnderstood(now)
			}
			if got != test.want {
				t.Errorf("%+v: %v, want %v", b.d.HostLines(), got, test.want)
			}
		})
	}
}

func repeat(n int, do func()) {
	for range n {
		do()
	}
}

// TestHostLinesAreOfTheirHosts: hosts that a relay sends for are told apart, and
// of foreign lines the last tag is kept.
func TestHostLinesAreOfTheirHosts(t *testing.T) {
	b := newBench(t, labelled)
	for i := range 6 {
		l := b.foreignLine(fmt.Sprintf("tag%d", i), "x", noon)
		l.Host = fmt.Sprintf("mx%d", i%2)
		b.d.Observe(l)
	}
	for _, l := range b.d.HostLines() {
		if want := map[string]string{"mx0": "tag4", "mx1": "tag5"}[l.Host]; l.Foreign != 3 || l.LastTag != want || l.Sender != "10.0.0.1" {
			t.Errorf("%+v, want last tag %s", l, want)
		}
	}
	if n := testutil.CollectAndCount(b.d.metrics.hostLines); n != 6 {
		t.Errorf("%d series", n)
	}
}

// TestHostLinesAreBounded: invented senders do not keep new ones out.
func TestHostLinesAreBounded(t *testing.T) {
	b := newBench(t, nil)
	for i := range maxHostLines + 1000 {
		l := b.foreignLine("x", "y", noon.Add(time.Duration(i)*time.Second))
		l.Sender = fmt.Sprint("sender ", i)
		b.d.Observe(l)
		if known := b.d.lines.byName[hostLinesKey{l.Sender, "other"}]; known == nil || known.Foreign != 1 {
			t.Fatalf("sender %d is not known", i)
		}
	}
	if n := len(b.d.HostLines()); n != maxHostLines {
		t.Errorf("%d hosts", n)
	}
}

// TestCountersOutliveARestart: what a log daemon has counted before a restart is
// not counted again, what it counts on is.
func TestCountersOutliveARestart(t *testing.T) {
	pstats := func(n int) string {
		return fmt.Sprintf("uppercut queue: origin=core.queue size=1 enqueued=5 full=4 discarded.full=%d discarded.nf=0 maxqsize=9", n)
	}
	first := newBench(t, labelled)
	first.d.Observe(first.foreignLine("rsyslogd-pstats", pstats(100), noon))
	second := newBench(t, labelled)
	if err := second.d.Restore(bytes.NewReader(snapshot(t, first.d)), noon); err != nil {
		t.Fatal(err)
	}
	third := newBench(t, labelled) // after a run in which the host said nothing
	if err := third.d.Restore(bytes.NewReader(snapshot(t, second.d)), noon); err != nil {
		t.Fatal(err)
	}
	third.d.Observe(third.foreignLine("rsyslogd-pstats", pstats(100), noon.Add(time.Minute)))
	if l := third.hostLines(); l.Lost != 0 || !l.LastLoss.IsZero() {
		t.Errorf("counted again: %+v", l)
	}
	third.d.Observe(third.foreignLine("rsyslogd-pstats", pstats(107), noon.Add(2*time.Minute)))
	if l := third.hostLines(); l.Lost != 7 {
		t.Errorf("%d lost, want 7", l.Lost)
	}
}

// TestCountersOfManyRunsAreBounded: hosts come and go, and the snapshot can still
// be read.
func TestCountersOfManyRunsAreBounded(t *testing.T) {
	b := newBench(t, nil)
	for run := range 3 {
		for i := range maxHostLines - 100 {
			l := b.foreignLine("rsyslogd-pstats", "main Q: origin=core.queue discarded.full=3", noon)
			l.Sender = fmt.Sprint(run, " ", i)
			b.d.Observe(l)
		}
		next := newBench(t, nil)
		if err := next.d.Restore(bytes.NewReader(snapshot(t, b.d)), noon); err != nil {
			t.Fatal(err)
		}
		b = next
	}
}

// TestOldSnapshotIsRead: one without counters of log daemons.
func TestOldSnapshotIsRead(t *testing.T) {
	data := snapshot(t, newBench(t, nil).d)
	data = data[:len(data)-8] // no drops, and the checksum
	binary.LittleEndian.PutUint32(data[len(snapshotMagic):], snapshotDrops-1)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	if err := newBench(t, nil).d.Restore(bytes.NewReader(data), noon); err != nil {
		t.Error(err)
	}
}
