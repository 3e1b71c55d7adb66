package receiver

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"uppercut/receiver/header"
)

const relayed = "<22>Jul  4 10:00:01 relay1 Jul  4 10:00:01 mx1 sendmail[2001]: x"

// TestRelaysAreBelieved: a second header counts from senders that the
// configuration calls relays, from the next message on; from others it is
// counted.
func TestRelaysAreBelieved(t *testing.T) {
	c := testConfig()
	c.Tags = []string{"sendmail"}
	h := open(t, c)
	udp, tcp := dial(t, "udp", h.address(UDP)), dial(t, "tcp", h.address(TCP))
	send := func() { write(t, udp, relayed); write(t, tcp, relayed+"\n") }
	send()
	for _, m := range h.wait(t, 2) {
		if m.Host != "relay1" || m.Tag != "" || m.Withheld != header.WithheldHeader {
			t.Errorf("not a relay: %+v", m)
		}
	}
	for _, listener := range []string{"udp", "tcp"} {
		if n := h.metric(t, "uppercut_messages_withheld_total", "listener", listener, "holds", "header"); n != 1 {
			t.Errorf("%s: %v withheld", listener, n)
		}
	}
	if s := h.Senders(); len(s) != 1 || s[0].WithheldHeaders != 2 {
		t.Errorf("%+v", s)
	}
	c.Relays = []string{"127.0.0.1"}
	if err := h.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	h.forget()
	send()
	for _, m := range h.wait(t, 2) {
		if m.Host != "mx1" || m.Tag != "sendmail" || m.PID != 2001 || m.Text != "x" || !m.Relayed {
			t.Errorf("a relay: %+v", m)
		}
	}
}

// TestWrappingTags: what a container writes counts where the configuration names
// its tag, or the tag is sendmail's.
func TestWrappingTags(t *testing.T) {
	c := testConfig()
	c.Tags, c.WrappingTags = []string{"sendmail", "sm-*"}, []string{"mail-*", header.Untagged}
	h := open(t, c)
	udp := dial(t, "udp", h.address(UDP))
	for _, test := range []struct{ tag, wrapper string }{
		{"mail-1[99]", "mail-1"}, {"sendmail[99]", ""}, {"web-1[99]", "withheld"},
	} {
		h.forget()
		write(t, udp, "<30>Nov 30 12:00:00 gw "+test.tag+": sm-mta[2182]: x")
		m := h.wait(t, 1)[0]
		if test.wrapper == "withheld" {
			if m.Tag != "web-1" || m.PID != 99 || m.Withheld != header.WithheldTag {
				t.Errorf("%s: %+v", test.tag, m)
			}
			continue
		}
		if m.Host != "gw" || m.Tag != "sm-mta" || m.PID != 2182 || m.Text != "x" || m.Wrapper != test.wrapper || !m.Relayed {
			t.Errorf("%s: %+v", test.tag, m)
		}
	}
}

func TestWrappingTagMistakes(t *testing.T) {
	for tag, want := range map[string]string{
		"":            `wrapping_tags[0]: must not be empty; "-" stands for messages without a tag`,
		"a*b":         `wrapping_tags[0]: "a*b": * can stand only at the end`,
		"docker[12]:": `wrapping_tags[0]: "docker[12]:": a tag has no PID, colon or space`,
		"*":           "",
		"docker/*":    "",
		"-":           "",
	} {
		c := DefaultConfig()
		c.WrappingTags = []string{tag}
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
}

// TestHostsThatAreAddresses: a host of which a relay knows the address only has
// the name of receiver.hosts, else a row of its own and no label.
func TestHostsThatAreAddresses(t *testing.T) {
	hosts := []HostConfig{{Name: "mx1", Addresses: []netip.Prefix{netip.MustParsePrefix("10.25.0.11/32"), netip.MustParsePrefix("2001:db8::/64")}}}
	labels := newHosts(t, hosts...)
	f := newFleet(labels, hosts, time.Now())
	relay := &origin{sender: "203.0.113.25", addr: netip.MustParseAddr("203.0.113.25"), transport: TCP}
	for _, host := range []string{"10.25.0.11", "[2001:db8::7]", "10.25.0.12", "10.25.0.13", "::ffff:10.25.0.12"} {
		f.observe(relay, []Message{claiming(host)})
	}
	var rows []string
	for _, s := range f.status(time.Now()) {
		rows = append(rows, s.Host)
		if want := map[string]uint64{"mx1": 2, "10.25.0.12": 2, "10.25.0.13": 1}[s.Host]; s.Messages != want {
			t.Errorf("%s: %d messages, want %d", s.Host, s.Messages, want)
		}
	}
	if got := strings.Join(rows, " "); got != "10.25.0.12 10.25.0.13 mx1" {
		t.Errorf("rows %s", got)
	}
	for host, want := range map[string]string{"10.25.0.11": "mx1", "10.25.0.12": otherHost} {
		if got := labels.Label("203.0.113.25", host); got != want {
			t.Errorf("label of %s: %s, want %s", host, got, want)
		}
	}
	for host, want := range map[string]string{"10.25.0.11": "mx1", "10.25.0.12": "10.25.0.12", "mx 9": otherHost} {
		if got := labels.Row("203.0.113.25", host); got != want {
			t.Errorf("row of %s: %s, want %s", host, got, want)
		}
	}
}

// TestCorpusOverTheWire sends what the syslog daemons of the world write as
// datagrams and as lines of a stream.
func TestCorpusOverTheWire(t *testing.T) {
	c := testConfig()
	c.Tags = []string{"sendmail", "sm-*"}
	paths, err := filepath.Glob("header/testdata/corpus/*.txt")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	h := open(t, c)
	udp, tcp := dial(t, "udp", h.address(UDP)), dial(t, "tcp", h.address(TCP))
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		now, frames, want := c, []string(nil), []string(nil)
		for line := range strings.Lines(string(file)) {
			line = strings.TrimSuffix(line, "\n")
			if frame, err := strconv.Unquote(line); err == nil {
				frames = append(frames, strings.TrimSuffix(frame, "\n"))
			}
			if tag, ok := strings.CutPrefix(line, "! wraps "); ok {
				now.WrappingTags = []string{tag}
			}
			if line == "! relay" {
				now.Relays = []string{"127.0.0.1"}
			}
			if expected, ok := strings.CutPrefix(line, "= "); ok {
				want = append(want, expected)
			}
		}
		if err := h.Reconfigure(now); err != nil {
			t.Fatal(err)
		}
		for transport, send := range map[Transport]func(string){
			UDP: func(frame string) { write(t, udp, frame) },
			TCP: func(frame string) { write(t, tcp, frame+"\n") },
		} {
			h.forget()
			for _, frame := range frames {
				send(frame)
			}
			for i, m := range h.wait(t, len(frames)) {
				if got := fmt.Sprint(cmp.Or(m.Host, "-"), " ", m.Tag, " ", m.PID); got != want[i] {
					t.Errorf("%s over %s: %q is %s, want %s", path, transport, frames[i], got, want[i])
				}
			}
		}
	}
}

// TestCompressedIsNamed: rsyslog's compression is said to be what it is, also of
// the pieces into which a stream falls.
func TestCompressedIsNamed(t *testing.T) {
	c := testConfig()
	c.TCP, c.UDP = []string{"127.0.0.1:0"}, []string{"127.0.0.1:0"}
	h := open(t, c)
	var stream bytes.Buffer
	z := zlib.NewWriter(&stream)
	for i := range 3000 {
		fmt.Fprintf(z, "<22>Jul  4 10:00:01 mx1 sendmail[%d]: %x\n", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
		_ = z.Flush()
	}
	tcp := dial(t, "tcp", h.address(TCP))
	write(t, tcp, stream.String())
	tcp.Close()
	write(t, dial(t, "udp", h.address(UDP)), "z"+stream.String()[:200])
	eventually(t, "the stream and the datagram are refused", func() bool {
		return h.metric(t, "uppercut_messages_dropped_total", "listener", "tcp", "reason", "compressed") > 10 &&
			h.metric(t, "uppercut_messages_dropped_total", "listener", "udp", "reason", "compressed") == 1
	})
	for _, other := range []string{"timestamp", "priority", "header"} {
		if n := h.metric(t, "uppercut_messages_dropped_total", "listener", "tcp", "reason", other); n != 0 {
			t.Errorf("%v pieces are called %s", n, other)
		}
	}
	if s := h.Senders(); len(s) != 1 || s[0].Refusal != "compressed" {
		t.Errorf("%+v", s)
	}
}
