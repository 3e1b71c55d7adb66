package main

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
	"uppercut/enforcer/guard"
)

// outcome runs a command of ours and returns what it prints and its exit code.
func (g *gateway) outcome(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	text, err := g.uppercut(t, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(text), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text), exitOK
}

// says fails unless a command ends with this code and prints each of words.
func (g *gateway) says(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	out, got := g.outcome(t, args...)
	if got != code {
		t.Errorf("uppercut %s: exit code %d, want %d: %s", strings.Join(args, " "), got, code, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("uppercut %s does not say %q:\n%s", strings.Join(args, " "), word, out)
		}
	}
}

// serveWith starts uppercut on a gateway without clients.
func serveWith(t *testing.T, yaml string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.serve(t, "state_dir: "+g.dir+"/state\nreceiver: {udp: [], tcp: [\"10.25.0.1:5514\"]}\n"+yaml)
	return g
}

// The answer "no" has exit code 3 in JSON as well, and lists are lists.
func TestExitCodeIsThatOfTheAnswer(t *testing.T) {
	g := serveWith(t, "")
	for _, tc := range []struct {
		code int
		args []string
		json string
	}{
		{exitNo, []string{"why", "198.51.100.1"}, `"addr": "198.51.100.1"`},
		{exitNo, []string{"unblock", "198.51.100.1"}, `"unblocked": []`},
		{exitNo, []string{"block", "127.0.0.1"}, `"blocked": []`},
		{exitNo, []string{"allow", "--remove", "198.51.100.1"}, "[]\n"},
		{exitOK, []string{"allow"}, "[]\n"},
		{exitOK, []string{"blocks"}, `"blocks": []`},
		{exitOK, []string{"health"}, `"ready": true`},
		{exitOK, []string{"firewall", "verify"}, `"missing": 0`},
		{exitUsage, []string{"block", "--for", "9999d", "198.51.100.1"}, "for: must be 0 to"},
		{exitUsage, []string{"blocks", "foo"}, `"foo" is neither`},
	} {
		g.says(t, tc.code, tc.args)
		g.says(t, tc.code, append(tc.args, "--json"), tc.json)
	}
	g.ask(t, "flush")
	for _, args := range [][]string{{"health"}, {"firewall", "verify"}} {
		g.says(t, exitNo, args)
		g.says(t, exitNo, append(args, "--json"))
	}
}

// What is on the list is not called blocked where its packets pass.
func TestBlockedMeansDropped(t *testing.T) {
	g := serveWith(t, "")
	const spared, client = "203.0.113.5", "203.0.113.9"
	g.says(t, exitOK, []string{"block", "--note", "ticket 7", "203.0.113.0/24"}, "blocked  203.0.113.0/24")
	g.says(t, exitOK, []string{"why", client}, "blocked as 203.0.113.0/24", "root: ticket 7", "drops it")
	g.says(t, exitOK, []string{"allow", spared})
	g.says(t, exitNo, []string{"why", spared},
		"not blocked: it is on the allow list; its network is blocked as 203.0.113.0/24 since", "except for this address", "lets it pass")

	// The history names what is not of the address, and knows what is in force.
	g.ask(t, "block", client)
	g.says(t, exitOK, []string{"why", client}, "also         203.0.113.0/24 blocked", "in force for another")

	g.says(t, exitNo, []string{"resume"}, "blocking was not suspended")
	g.ask(t, "flush")
	const suspended = "blocking is suspended: nothing is dropped until `uppercut resume`"
	g.says(t, exitNo, []string{"why", client}, "would be blocked as "+client+"/32", suspended)
	g.says(t, exitOK, []string{"blocks"}, client, suspended)
	g.says(t, exitOK, []string{"blocks", "--json"}, `"not_enforced": "suspended"`)
	g.says(t, exitNo, []string{"block", "198.51.100.7"}, "on the list  198.51.100.7/32", suspended)
	g.says(t, exitOK, []string{"resume"}, "blocking resumed")
	g.says(t, exitOK, []string{"why", "198.51.100.7"}, "blocked as 198.51.100.7/32")
}

// A block in observe mode is none, and nobody reads that it is.
func TestObservedBlocksAreNotCalledBlocked(t *testing.T) {
	g := serveWith(t, "mode: observe\n")
	const observing = "mode is observe: nothing is dropped"
	g.says(t, exitNo, []string{"block", "203.0.113.9"}, "on the list  203.0.113.9/32", observing)
	g.says(t, exitNo, []string{"why", "203.0.113.9"}, "would be blocked as 203.0.113.9/32", observing)
	g.says(t, exitOK, []string{"blocks"}, "203.0.113.9/32", observing)
}

// What an administrator reads of the firewall while it is flushed and when it
// has been compared.
func TestFirewallInWords(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"firewall", "show"}, "compared never")
	g.says(t, exitOK, []string{"firewall", "verify"}, "matches the list")
	g.says(t, exitOK, []string{"firewall", "show"}, "compared", "ago")
	if out := g.ask(t, "firewall", "show"); strings.Contains(out, "never") {
		t.Errorf("firewall show after verify:\n%s", out)
	}
	g.ask(t, "flush")
	g.says(t, exitNo, []string{"firewall", "verify"}, "set       block4         absent", "suspended by flush")
	if out, _ := g.outcome(t, "firewall", "verify", "--json"); strings.Contains(out, "elements") {
		t.Errorf("elements of no table:\n%s", out)
	}
	const why = "blocking is suspended by an operator since"
	g.says(t, exitNo, []string{"health"}, why, "uppercut resume")
	if _, text := g.get(t, "/-/ready"); !strings.Contains(text, why) {
		t.Errorf("/-/ready says %s", text)
	}
}

// A set that is there is not called absent by a kernel that does not count, and
// what was not searched is not said to match.
func TestUncountedSetsInWords(t *testing.T) {
	var out bytes.Buffer
	p := terminal.NewPrinter(&out, nil)
	f := console.Firewall{Table: "inet uppercut", Unsearched: []string{"block4"}, Sets: []console.FirewallSet{
		{Name: "block4", Listed: 200_000, Capacity: 1 << 20}, {Name: "block6", Absent: true, Capacity: 1 << 20},
	}}
	if err := printVerified(p, f); err != nil {
		t.Error(err)
	}
	if err := p.Flush(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"200000 elements on the list, of 1048576", "absent", "too large to search for elements that are not on the list", "has all that is on the list"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "matches") {
		t.Errorf("it says\n%s", out.String())
	}
}

// Unblock lifts whatever drops the packets, or all that matches, and refuses to
// leave half the Internet alone.
func TestUnblockSaysWhatItDid(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"block", "203.0.113.0/24", "203.0.113.9", "198.51.100.7"}, "203.0.113.0/24")
	g.says(t, exitOK, []string{"unblock", "203.0.113.9", "198.51.100.8"},
		"unblocked    203.0.113.0/24", "unblocked    203.0.113.9/32", "not blocked  198.51.100.8/32", "score reset  not counted for the next 10m")
	g.says(t, exitNo, []string{"why", "203.0.113.9"}, "not blocked", "counts again in")
	g.says(t, exitError, []string{"unblock", "0.0.0.0/0"}, "0.0.0.0/0 is wider than anything that is blocked")
	g.says(t, exitOK, []string{"audit", "--action", "unblock"}, "203.0.113.9/32 198.51.100.8/32 (1 of them not blocked)")
	g.says(t, exitNo, []string{"unblock", "--rule", "burst"}, "no matching blocks")
	g.says(t, exitUsage, []string{"unblock", "--rule", "bust"}, `--rule: "bust" is not one of burst, steady`)
	g.says(t, exitUsage, []string{"unblock", "--host", "mx9"}, `--host: "mx9" is not known; no mail host has logged yet`)
	g.says(t, exitUsage, []string{"unblock", "--reason", "rudeness"}, "rcpt_trap")
	g.says(t, exitUsage, []string{"unblock", "--rule", "manual", "198.51.100.7"}, "or one of")
	g.says(t, exitOK, []string{"unblock", "--rule", "manual"}, "unblocked    198.51.100.7/32")
	g.says(t, exitOK, []string{"blocks"}, "no blocks")
}

// An empty list says so, an order what it did.
func TestAllowSaysWhatItDid(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"allow"}, "the allow list is empty")
	g.says(t, exitNo, []string{"allow", "--remove", "203.0.113.9"}, "not listed  203.0.113.9/32")
	g.ask(t, "block", "203.0.113.9")
	g.says(t, exitOK, []string{"allow", "203.0.113.0/24"}, "allowed    203.0.113.0/24", "unblocked  203.0.113.9/32")
	g.says(t, exitNo, []string{"block", "203.0.113.9"}, "allowlist: it is on the allow list")
	g.says(t, exitNo, []string{"block", "10.0.0.0/8"}, "too_wide: it is wider than a block may be")
	g.says(t, exitError, []string{"allow", "0.0.0.0/0"}, "0.0.0.0/0 covers much of the Internet", "--force")
	g.says(t, exitError, []string{"allow", "198.51.100.7", "2000::/3"}, "2000::/3 covers much of the Internet")
	g.says(t, exitNo, []string{"allow", "--remove", "198.51.100.7"}, "not listed")
	g.says(t, exitOK, []string{"allow", "--force", "--for", "1h", "0.0.0.0/0"}, "allowed  0.0.0.0/0")
	g.says(t, exitOK, []string{"allow", "--remove", "0.0.0.0/0"})
	if out := g.ask(t, "allow", "--remove", "203.0.113.0/24"); out != "removed  203.0.113.0/24\n" {
		t.Errorf("allow --remove: %q", out)
	}
}

// A list says what it is a part of, and what was asked for.
func TestBlocksSayHowMany(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"blocks"}, "no blocks")
	g.says(t, exitOK, []string{"blocks", "--rule", "burst"}, "no matching blocks")
	g.says(t, exitUsage, []string{"blocks", "--rule", "nonesuch"}, `--rule: "nonesuch" is not one of burst, steady`)
	g.says(t, exitUsage, []string{"blocks", "--host", "nonesuch"}, `--host: "nonesuch" is not known`)
	g.ask(t, "block", "--note", "ticket 7", "203.0.113.9", "203.0.113.10")
	g.says(t, exitOK, []string{"blocks"}, "root  ticket 7\n", "\n2 in all\n")
	g.says(t, exitOK, []string{"blocks", "--limit", "1"}, "\n1 of 2; --limit 0 lists all\n")
	g.says(t, exitOK, []string{"top", "--limit", "0"}, "no source that is not blocked has offences that still count")
	if out := g.ask(t, "top", "reason"); out != "no offences since the start\n" {
		t.Errorf("top reason: %q", out)
	}
}

// Without an appliance flush says what was there and what the next start does.
func TestFlushWithoutAnAppliance(t *testing.T) {
	g := newGateway(t)
	g.config = filepath.Join(g.dir, "uppercut.yaml")
	writeFile(t, g.config, "state_dir: "+g.dir+"/state\n")
	g.says(t, exitOK, []string{"flush"}, "there was no table", "the next start restores the blocks")
	if out, err := g.gw.CommandContext(t.Context(), "nft", "add", "table", "inet", "uppercut").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	g.says(t, exitError, []string{"flush", "--for", "10m"}, "not running", "a pause needs a running uppercut")
	g.says(t, exitOK, []string{"flush", "--forget"}, "table removed", "no block will be restored")
	g.says(t, exitError, []string{"health"}, "not running")
}

// Every cause that can stand in the way of a block has words.
func TestCausesHaveWords(t *testing.T) {
	for _, cause := range guard.Causes() {
		if console.CauseWords(cause) == cause {
			t.Errorf("%s has no words", cause)
		}
	}
}

func TestScoresAndSkewsAreRounded(t *testing.T) {
	var out bytes.Buffer
	p := terminal.NewPrinter(&out, nil)
	if err := printBlocks(p, console.BlockPage{Blocks: []console.Block{{Score: 10.2499}}, Matching: 1}); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(); err != nil || !strings.Contains(out.String(), "  10.2\n") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	for skew, want := range map[time.Duration]string{
		2*time.Minute + 31563408341*time.Nanosecond: "2m32s", -1234 * time.Millisecond: "-1.2s", 0: "0s",
	} {
		if got := skewWords(skew); got != want {
			t.Errorf("skew %v: %s, want %s", skew, got, want)
		}
	}
}

// What blocks prints can be pasted after why.
func TestWhyTakesWhatBlocksPrints(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"block", "203.0.113.9", "198.51.100.0/24", "2001:db8:1:2::/64", "2001:db8:9::1"},
		"hint", "the client most likely owns all of 2001:db8:9::/64")
	for line := range strings.SplitSeq(g.ask(t, "blocks"), "\n") {
		if prefix, _, found := strings.Cut(line, " "); found && strings.Contains(prefix, "/") {
			g.says(t, exitOK, []string{"why", prefix}, "blocked as "+prefix+" since")
		}
	}
	g.says(t, exitOK, []string{"why", "2001:db8:1:2::7"}, "blocked as 2001:db8:1:2::/64 since")
	g.says(t, exitNo, []string{"why", "2001:db8:7:7::/64"}, "not blocked")
	g.says(t, exitNo, []string{"why", "203.0.113.8/32"}, "not blocked")
	g.says(t, exitUsage, []string{"why", "203.0.113.0/24"}, "203.0.113.0/24 is a network that is neither counted nor blocked as one; `uppercut blocks 203.0.113.0/24` lists")

	// A network below which an address is blocked as well, and one that was.
	g.ask(t, "block", "198.51.100.0/32")
	g.says(t, exitOK, []string{"why", "198.51.100.0/24"}, "198.51.100.0/24 blocked")
	g.ask(t, "unblock", "198.51.100.0/24")
	g.says(t, exitNo, []string{"why", "198.51.100.0/24"}, "not blocked", "before", "198.51.100.0/24 blocked")
}

// What is given twice is done once, and of nothing it says that it is nothing.
func TestOrdersOfListsOfPrefixes(t *testing.T) {
	g := serveWith(t, "")
	out := g.ask(t, "block", "203.0.113.9", "203.0.113.10", "203.0.113.9", "203.0.113.10/32")
	if out != "blocked  203.0.113.9/32   for 1h\nblocked  203.0.113.10/32  for 1h\n" {
		t.Errorf("block A B A says %q", out)
	}
	cmd := g.uppercut(t, "block", "-")
	cmd.Stdin = strings.NewReader("# nobody today\n\n")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "nothing to block: the list is empty\n" {
		t.Errorf("block - of nothing: %q, %v", out, err)
	}
}

// A block forever is shown as one.
func TestBlockForever(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"block", "--for", "forever", "203.0.113.9", "198.51.100.0/24"}, "blocked  203.0.113.9/32   forever", "blocked  198.51.100.0/24  forever")
	g.says(t, exitOK, []string{"blocks"}, "203.0.113.9/32", "forever")
	g.says(t, exitOK, []string{"blocks", "--json"}, `"permanent": true`)
	if out := g.ask(t, "blocks", "--json"); strings.Contains(out, "until") {
		t.Errorf("a block forever has an end:\n%s", out)
	}
	g.says(t, exitOK, []string{"why", "203.0.113.9"}, "blocked as 203.0.113.9/32 since", ", forever, by manual", "drops it (set block4, no timeout)")
	g.says(t, exitOK, []string{"why", "198.51.100.7"}, "drops it (set block4_net, no timeout)")
	g.says(t, exitOK, []string{"firewall", "verify"}, "matches the list")
	g.says(t, exitOK, []string{"allow", "--for", "forever", "192.0.2.1"}, "allowed  192.0.2.1/32  forever")
	g.says(t, exitOK, []string{"unblock", "203.0.113.9"}, "unblocked    203.0.113.9/32")
}

// A pause ends by itself, by resume, and says so everywhere.
func TestPause(t *testing.T) {
	g := serveWith(t, "")
	g.ask(t, "block", "203.0.113.9")
	g.says(t, exitOK, []string{"flush", "--for", "10m", "--note", "mail is late"}, "paused; nothing is blocked for 10m, or until resume")
	g.says(t, exitOK, []string{"status"}, "SUSPENDED: nothing is blocked for another", "or until uppercut resume", "on the list")
	g.says(t, exitNo, []string{"health"}, "blocking is suspended by an operator since", " until ")
	g.says(t, exitOK, []string{"audit", "--action", "flush"}, "for 10m", "mail is late")
	g.says(t, exitNo, []string{"why", "203.0.113.9"}, "would be blocked")
	g.says(t, exitOK, []string{"resume"}, "blocking resumed")
	g.says(t, exitOK, []string{"flush", "--for", "1s"})
	waitFor(t, 20*time.Second, "the pause is over", func() bool {
		_, code := g.outcome(t, "why", "203.0.113.9")
		return code == exitOK
	})
	g.says(t, exitOK, []string{"audit"}, "uppercut", "the pause is over")
	g.says(t, exitUsage, []string{"flush", "--for", "31d"}, "a pause lasts up to 30d")
	g.says(t, exitUsage, []string{"flush", "--for", "forever"}, "a pause lasts up to 30d")
}

// A block list is a file: what it has is blocked, what leaves it is not, and the
// allow list wins.
func TestBlockList(t *testing.T) {
	g := newGateway(t)
	list := filepath.Join(g.dir, "drop.txt")
	writeFile(t, list, "# published by somebody\n203.0.113.9 ; SBL1\n198.51.100.0/24\n2001:db8:7::/48\n192.0.2.10-192.0.2.11\n")
	g.serve(t, "state_dir: "+g.dir+"/state\nreceiver: {udp: [], tcp: [\"10.25.0.1:5514\"]}\nenforcer: {allow: [198.51.100.7], block: [{file: "+list+"}]}\n")
	g.says(t, exitOK, []string{"why", "203.0.113.9"}, "forever, by blocklist", "no timeout", list)
	g.says(t, exitOK, []string{"blocks", "--rule", "blocklist"}, "198.51.100.0/24", "192.0.2.10/31", "2001:db8:7::/48", "4 in all")
	g.says(t, exitNo, []string{"why", "198.51.100.7"}, "not blocked: it is on the allow list", "except for this address")
	g.says(t, exitOK, []string{"firewall", "verify"}, "matches the list")

	// Lifted by hand it comes back, and says so.
	g.says(t, exitOK, []string{"unblock", "203.0.113.9"}, "unblocked", "listed", list+" will block it again within a minute")
	g.says(t, exitOK, []string{"allow", "2001:db8:7::/48"}, "unblocked  2001:db8:7::/48")

	// A mistake keeps what was; a change is taken over without a reload.
	writeFile(t, list, "203.0.113.9\nmx1.example.org\n")
	g.says(t, exitError, []string{"check"}, list+":2: \"mx1.example.org\" is not an address, a network or a range")
	g.says(t, exitOK, []string{"why", "198.51.100.9"}, "by blocklist")
	writeFile(t, list, "203.0.113.77\n2001:db8:7::/48\n")
	waitFor(t, 20*time.Second, "the list is read again", func() bool {
		_, code := g.outcome(t, "why", "203.0.113.77")
		return code == exitOK
	})
	g.says(t, exitNo, []string{"why", "198.51.100.9"}, "not blocked")
	g.says(t, exitNo, []string{"why", "2001:db8:7::1"}, "not blocked")
	g.says(t, exitOK, []string{"blocks"}, "203.0.113.77/32", "1 in all")
}

// Reload puts a changed file in force, and says what is wrong with one that
// cannot be.
func TestReloadCommand(t *testing.T) {
	g := serveWith(t, "")
	g.says(t, exitOK, []string{"reload", "--note", "ticket 4711"}, "configuration reloaded")
	g.says(t, exitOK, []string{"audit", "--action", "reload"}, "ticket 4711")
	text := readFile(t, g.config)
	writeFile(t, g.config, text+"enforcer: {allow: [nonsense/99]}\n")
	g.says(t, exitError, []string{"reload"}, "enforcer.allow")
	writeFile(t, g.config, text+"mode: observe\n")
	g.says(t, exitError, []string{"reload"}, "mode", "restart")
	writeFile(t, g.config, text+"enforcer: {allow: [198.51.100.0/24]}\n")
	g.says(t, exitOK, []string{"reload", "--json"})
	g.says(t, exitNo, []string{"block", "198.51.100.9"}, "198.51.100.9")
}
