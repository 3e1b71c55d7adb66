package lab

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFleet is the whole story: real sendmails refuse scripted attackers, real
// rsyslogds forward what they log, uppercut blocks, the kernel drops.
func TestFleet(t *testing.T) {
	binary := build(t)
	l := up(t, binary)
	report, err := l.Attack(t.Context(), Size{Guilty: 8, Petty: 2, Honest: 24})
	if err != nil {
		t.Fatal(err)
	}
	var story strings.Builder
	report.Write(&story)
	t.Log("\n" + story.String())

	t.Run("everybody played their part", func(t *testing.T) { playedTheirPart(t, report) })
	t.Run("the guilty are blocked within a second", func(t *testing.T) { guiltyBlocked(t, report) })
	t.Run("nobody else is blocked", func(t *testing.T) { othersNotBlocked(t, report) })
	t.Run("Prometheus counts what the clients count", func(t *testing.T) { prometheusAgrees(t, l, report) })
	// Last, because mx1 and mx3 may refuse these connections, too.
	t.Run("packets agree", func(t *testing.T) { packetsAgree(t, l, report) })
	t.Run("documented commands", func(t *testing.T) { documentedCommands(t, l, report, binary) })
}

// up brings up a fleet around the binary; its files are kept where the test
// fails and LAB_KEEP names a directory.
func up(t *testing.T, binary string) *Lab {
	t.Helper()
	l, err := Up(Options{Uppercut: binary})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if keep := os.Getenv("LAB_KEEP"); t.Failed() && keep != "" {
			if out, err := exec.Command("cp", "-r", l.Dir, keep).CombinedOutput(); err != nil {
				t.Errorf("keep %s: %s", l.Dir, out)
			}
		}
		if err := l.Down(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func build(t *testing.T) string {
	t.Helper()
	if ready := os.Getenv("LAB_UPPERCUT"); ready != "" {
		return ready
	}
	binary := filepath.Join(t.TempDir(), "uppercut")
	cmd := exec.Command("go", "build", "-o", binary, "uppercut/cmd/uppercut")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build uppercut: %v\n%s", err, out)
	}
	return binary
}

func playedTheirPart(t *testing.T, report *Report) {
	for _, account := range report.Accounts {
		if account.Err != nil {
			t.Error(account.Err)
		}
		if account.Kind != Guilty && account.Kind != Injector && !account.Silenced.IsZero() {
			t.Errorf("%s client %v (%s) got no answer", account.Kind, account.Addr, account.Trade)
		}
	}
}

func guiltyBlocked(t *testing.T, report *Report) {
	guilty, timed := report.Of(Guilty), 0
	for _, account := range guilty {
		latency, seen := report.Latency[account]
		switch {
		case !report.IsBlocked(account.Addr):
			t.Errorf("%v (%s) is not blocked, with %.0f points from %v", account.Addr, account.Trade, account.Score(), account.Refusals)
		case seen && latency > time.Second:
			t.Errorf("%v (%s) was blocked %v after it had done enough", account.Addr, account.Trade, latency)
		}
		if seen {
			timed++
		}
	}
	if 10*timed < 9*len(guilty) {
		t.Errorf("only %d of %d blocks were seen to come: nothing says how fast the others were", timed, len(guilty))
	}
}

// othersNotBlocked holds every blocked prefix against the crowd: it must be
// that of an attacker.
func othersNotBlocked(t *testing.T, report *Report) {
	attackers := map[netip.Prefix]bool{}
	for _, account := range slices.Concat(report.Of(Guilty), report.Of(Injector)) {
		attackers[sourceOf(account.Addr)] = true
	}
	for prefix := range report.Blocked {
		if !attackers[prefix] {
			t.Errorf("%v is blocked", prefix)
		}
	}
	for _, account := range slices.Concat(report.Of(Petty), report.Of(Honest)) {
		if report.IsBlocked(account.Addr) {
			t.Errorf("%s client %v (%s) is blocked", account.Kind, account.Addr, account.Trade)
		}
	}
}

// packetsAgree sends a SYN and a ping from every address: what is blocked gets
// no answer, what is not does.
func packetsAgree(t *testing.T, l *Lab, report *Report) {
	var probes sync.WaitGroup
	for _, account := range report.Accounts {
		if account.Kind == Injector {
			continue
		}
		probes.Go(func() {
			want, patience := true, openPatience
			if account.Kind == Guilty {
				want, patience = false, blockedPatience
			}
			pings, err := l.Pings(account.Addr, patience)
			if err != nil {
				t.Error(err)
			}
			if connects := l.Connects(account.Addr, patience); connects != want || pings != want {
				t.Errorf("%s %v: connects %v, pings %v", account.Kind, account.Addr, connects, pings)
			}
		})
	}
	probes.Wait()
}

// contextual are the classes that say how a session ended. Nobody is refused
// in them, so clients cannot count them.
const contextual = "null_connection|timeout|lost_input|premature_eom|tls_fail"

// prometheusAgrees compares rates with what the clients have counted: refusals
// by host and reason, and accepted messages by host, as those without a reason.
func prometheusAgrees(t *testing.T, l *Lab, report *Report) {
	want := report.Tally()
	for _, account := range report.Accounts {
		for host, n := range account.Accepted {
			if n > 0 {
				want[Refused{host, ""}] += float64(n)
			}
		}
	}
	var got Tally
	// The last lines are judged long since, but a scrape may be due.
	deadline := time.Now().Add(10 * time.Second)
	for !maps.Equal(got, want) && time.Now().Before(deadline) {
		got = Tally{}
		addRates(t, l, got, fmt.Sprintf(`uppercut_rejections_total{reason!~"%s"}`, contextual))
		addRates(t, l, got, "uppercut_mail_accepted_total")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts differ (- clients, + Prometheus):\n%s", diff)
	}
}

// addRates turns the rates of the last hour into counts.
func addRates(t *testing.T, l *Lab, count Tally, series string) {
	t.Helper()
	samples, err := l.Query(fmt.Sprintf("rate(%s[1h]) * 3600 > 0", series))
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples {
		// who sends over TLS is counted by the name in its certificate
		key := Refused{strings.TrimSuffix(sample.Labels["host"], ".lab.example"), sample.Labels["reason"]}
		count[key] = math.Round(sample.Value*1e6) / 1e6 // 3600ths do not add up in binary
	}
}
