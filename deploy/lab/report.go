package lab

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a campaign came to, as the kernel and the clients tell it.
type Report struct {
	Accounts []*Account
	Blocked  map[netip.Prefix]bool // after the campaign
	Latency  map[*Account]time.Duration
	Took     time.Duration
}

// report asks the kernel what became of the crowd.
func (l *Lab) report(accounts []*Account, took time.Duration) (*Report, error) {
	blocked, err := l.Blocked()
	if err != nil {
		return nil, err
	}
	r := &Report{Accounts: accounts, Blocked: blocked, Took: took, Latency: map[*Account]time.Duration{}}
	for _, account := range accounts {
		if since := l.watcher.since(sourceOf(account.Addr)); !since.IsZero() && !account.Deserved.IsZero() {
			r.Latency[account] = since.Sub(account.Deserved)
		}
	}
	return r, nil
}

// IsBlocked says whether the kernel drops what addr sends.
func (r *Report) IsBlocked(addr netip.Addr) bool {
	for prefix := range r.Blocked {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Of returns the accounts of a kind.
func (r *Report) Of(kind Kind) []*Account {
	return slices.DeleteFunc(slices.Clone(r.Accounts), func(a *Account) bool { return a.Kind != kind })
}

// Tally adds up every client's refusals.
func (r *Report) Tally() Tally { return tally(r.Accounts) }

// Write prints the story's numbers.
func (r *Report) Write(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "clients\taddresses\tIPv6\tsessions\trefusals\tblocked\n")
	for _, kind := range []Kind{Guilty, Petty, Injector, Honest} {
		accounts := r.Of(kind)
		var six, sessions, refusals, blocked int
		for _, account := range accounts {
			sessions += account.Sessions
			refusals += len(account.Refusals)
			if account.Addr.Is6() {
				six++
			}
			if r.IsBlocked(account.Addr) {
				blocked++
			}
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\n", kind, len(accounts), six, sessions, refusals, blocked)
	}
	_ = table.Flush()
	fmt.Fprintf(w, "from the reply that made it enough to the kernel's block: %s\n", r.latencies())
	fmt.Fprintf(w, "%.0f refusals in %.1f s: %s\n", r.Tally().total(), r.Took.Seconds(), r.Tally().byReason())
}

// latencies sums up Latency; negative ones are those where the kernel was
// faster than the refused client's own reading.
func (r *Report) latencies() string {
	sorted := slices.Sorted(maps.Values(r.Latency))
	if len(sorted) == 0 {
		return "nobody was blocked"
	}
	round := func(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, longest %v",
		round(sorted[len(sorted)/2]), round(sorted[len(sorted)*99/100]), round(sorted[len(sorted)-1]))
}

func (t Tally) total() (sum float64) {
	for _, n := range t {
		sum += n
	}
	return sum
}

// byReason writes the tally's reasons, most frequent first.
func (t Tally) byReason() string {
	reasons := map[string]float64{}
	for refused, n := range t {
		reasons[refused.Reason] += n
	}
	names := slices.Sorted(maps.Keys(reasons))
	slices.SortStableFunc(names, func(a, b string) int { return int(reasons[b] - reasons[a]) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.0f", name, reasons[name])
	}
	return strings.Join(names, ", ")
}
