package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"
)

// sets are the names of uppercut's nftables sets.
var sets = []string{"block4", "block6", "block4_net", "block6_net"}

// Blocked asks the kernel, through nft, which prefixes are blocked now.
func (l *Lab) Blocked() (map[netip.Prefix]bool, error) {
	blocked := map[netip.Prefix]bool{}
	for _, set := range sets {
		out, err := l.net.gateway.Command("nft", "-j", "list", "set", "inet", "uppercut", set).Output()
		if err != nil {
			return nil, fmt.Errorf("list set %s: %w", set, err)
		}
		prefixes, err := parseSet(set, out)
		if err != nil {
			return nil, err
		}
		for _, prefix := range prefixes {
			blocked[prefix] = true
		}
	}
	return blocked, nil
}

// parseSet reads the output of nft -j list set.
func parseSet(set string, out []byte) ([]netip.Prefix, error) {
	var ruleset struct {
		Nftables []struct {
			Set struct{ Elem []element }
		}
	}
	if err := json.Unmarshal(out, &ruleset); err != nil {
		return nil, fmt.Errorf("read set %s: %w", set, err)
	}
	var prefixes []netip.Prefix
	for _, object := range ruleset.Nftables {
		for _, element := range object.Set.Elem {
			prefix, err := element.prefix(set)
			if err != nil {
				return nil, err
			}
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, nil
}

// element is a set element in nft's JSON: an address, a prefix, or either
// inside {"elem": {"val": ...}} with its timeout.
type element json.RawMessage

func (e *element) UnmarshalJSON(text []byte) error {
	var timed struct {
		Elem struct{ Val json.RawMessage }
	}
	if json.Unmarshal(text, &timed) == nil && timed.Elem.Val != nil {
		text = timed.Elem.Val
	}
	*e = append((*e)[:0], text...)
	return nil
}

// prefix is what the element blocks: block6 holds the first address of a /64.
func (e element) prefix(set string) (netip.Prefix, error) {
	var net struct {
		Prefix struct {
			Addr netip.Addr
			Len  int
		}
	}
	if json.Unmarshal(e, &net) == nil {
		return netip.PrefixFrom(net.Prefix.Addr, net.Prefix.Len), nil
	}
	var addr netip.Addr
	if err := json.Unmarshal(e, &addr); err != nil {
		return netip.Prefix{}, fmt.Errorf("element %s of %s: %w", e, set, err)
	}
	return sourceOf(addr), nil
}

// sourceOf is what is counted and blocked for an address: IPv6 by /64.
func sourceOf(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(addr, 32)
	}
	return netip.PrefixFrom(addr, 64).Masked()
}

// watcher notes when the kernel says that a prefix is blocked. It is the
// output of nft monitor.
type watcher struct {
	mu   sync.Mutex
	seen map[netip.Prefix]time.Time
	rest []byte // of a line that is not complete
}

// watchFirewall follows the gateway's firewall until Down.
func (l *Lab) watchFirewall() error {
	l.watcher = &watcher{seen: map[netip.Prefix]time.Time{}}
	cmd := l.net.gateway.Command("nft", "-j", "monitor", "new", "elements")
	cmd.Stdout = l.watcher
	p, err := start("nft monitor", cmd, filepath.Join(l.Dir, "nft.log"))
	if err != nil {
		return err
	}
	l.processes = append(l.processes, p)
	return nil
}

// Write takes what nft monitor prints: a JSON object a line.
func (w *watcher) Write(output []byte) (int, error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, output...)
	for {
		line, rest, complete := bytes.Cut(w.rest, []byte("\n"))
		if !complete {
			return len(output), nil
		}
		w.note(line, now)
		w.rest = rest
	}
}

func (w *watcher) note(line []byte, now time.Time) {
	var event struct {
		Add struct {
			Element struct {
				Name string
				Elem struct{ Set []element }
			}
		}
	}
	if json.Unmarshal(line, &event) != nil {
		return
	}
	for _, element := range event.Add.Element.Elem.Set {
		prefix, err := element.prefix(event.Add.Element.Name)
		if _, known := w.seen[prefix]; err == nil && !known {
			w.seen[prefix] = now
		}
	}
}

// since is when the kernel first said that the prefix is blocked; zero if it
// never did.
func (w *watcher) since(prefix netip.Prefix) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[prefix]
}
