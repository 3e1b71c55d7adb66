package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"

	"uppercut/enforcer/statedir"
)

// recallNames takes over the addresses that a former run has left in
// Options.NamesFile, of names that are still listed: DNS may be down when we
// start, and a partner's mail host may be among the first to offend.
func (g *Guard) recallNames() error {
	if g.options.NamesFile == "" {
		return nil
	}
	f, err := statedir.Open(g.options.NamesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	var addrs map[string][]netip.Addr
	if err := json.Unmarshal(data, &addrs); err != nil {
		return fmt.Errorf("read %q: %w", g.options.NamesFile, err)
	}
	g.change(func(s *snapshot) {
		for name, n := range g.names {
			n.addrs4, n.addrs6 = byFamily(addrs[name])
			g.names[name] = n
		}
		s.set(allowNames, g.nameAddrs())
	})
	return nil
}

// rememberNames writes what recallNames reads, if it has changed.
func (g *Guard) rememberNames() error {
	if g.options.NamesFile == "" {
		return nil
	}
	g.mu.Lock()
	addrs := make(map[string][]netip.Addr, len(g.names))
	for name, n := range g.names {
		addrs[name] = append(append([]netip.Addr{}, n.addrs4...), n.addrs6...)
	}
	g.mu.Unlock()
	data, err := json.Marshal(addrs)
	if err != nil {
		return fmt.Errorf("remember names: %w", err)
	}
	if string(data) == g.remembered {
		return nil
	}
	err = statedir.Replace(g.options.NamesFile, func(w io.Writer) error { _, err := w.Write(data); return err })
	if err != nil {
		return fmt.Errorf("remember names: %w", err)
	}
	g.remembered = string(data)
	return nil
}

func byFamily(addrs []netip.Addr) (addrs4, addrs6 []netip.Addr) {
	for _, a := range addrs {
		switch {
		case a.Is4():
			addrs4 = append(addrs4, a)
		case a.Is6():
			addrs6 = append(addrs6, a)
		}
	}
	return addrs4, addrs6
}
