package feed

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ZoneConfig says where the list is written for rbldnsd.
type ZoneConfig struct {
	// Directory is where the files ip4 and ip6 are written for rbldnsd's data sets
	// ip4trie and ip6trie; "" for none. It must exist, as an absolute path, and
	// uppercut must be able to write in it. Default: none.
	Directory string `mapstructure:"directory"`
	// Interval is the shortest time between two versions of the files, 1s to 1d.
	// Default: 1m.
	Interval time.Duration `mapstructure:"interval"`
	// TTL is how long resolvers may keep an answer, 1s to 1d. Default: 1m.
	TTL time.Duration `mapstructure:"ttl"`
	// Text is the answer to a query for TXT records, of at most 200 printable
	// characters; $ in it stands for the address. Default: $ is blocked by uppercut.
	Text string `mapstructure:"text"`
}

// zoneFiles are the files in the directory, by family.
var zoneFiles = [2]string{"ip4", "ip6"}

func (c ZoneConfig) mistakes() (mistakes []error) {
	if c.Directory == "" {
		return nil
	}
	if !filepath.IsAbs(c.Directory) {
		mistakes = append(mistakes, fmt.Errorf("directory: %q is not an absolute path", c.Directory))
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"interval", c.Interval}, {"ttl", c.TTL}} {
		if d.value < time.Second || d.value > 24*time.Hour {
			mistakes = append(mistakes, fmt.Errorf("%s: %s is not in 1s to 1d", d.key, d.value))
		}
	}
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	if c.Text == "" || len(c.Text) > 200 || slices.ContainsFunc([]rune(c.Text), odd) {
		mistakes = append(mistakes, fmt.Errorf("text: %q is not 1 to 200 printable characters", c.Text))
	}
	return mistakes
}

// keepZones writes the files whenever the copy has changed, until ctx ends.
func (f *Feed) keepZones(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-f.ready:
	}
	tick := time.NewTicker(f.config.Zones.Interval)
	defer tick.Stop()
	written, done := uint64(0), false
	for {
		if now := f.mirror.now(); !done || now != written {
			done = f.writeZones()
			written = now
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// writeZones writes both files. On an error the old ones stay, and it is tried
// again after the interval.
func (f *Feed) writeZones() (ok bool) {
	prefixes := [2][]netip.Prefix{}
	for r := range f.mirror.all() {
		prefixes[family(r.prefix)] = append(prefixes[family(r.prefix)], r.prefix)
	}
	var errs []error
	for i, name := range zoneFiles {
		slices.SortFunc(prefixes[i], func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
		})
		errs = append(errs, f.config.Zones.write(name, prefixes[i]))
	}
	if err := errors.Join(errs...); err != nil {
		f.metrics.zoneFailures.Inc()
		f.logger.Error("cannot write the files for rbldnsd; the old ones stay", "error", err)
		return false
	}
	f.metrics.zonesWritten.SetToCurrentTime()
	return true
}

// write makes one file, as a whole or not at all.
func (c ZoneConfig) write(name string, prefixes []netip.Prefix) (err error) {
	file, err := os.CreateTemp(c.Directory, "."+name+".*")
	if err != nil {
		return fmt.Errorf("write zone %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write zone %s: %w", name, err), os.Remove(file.Name()))
		}
	}()
	if err := errors.Join(c.print(file, prefixes), file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), filepath.Join(c.Directory, name))
}

// print writes the lines of a data set of rbldnsd(8): what it answers, and to
// whom.
func (c ZoneConfig) print(w io.Writer, prefixes []netip.Prefix) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "$TTL %d\n:127.0.0.2:%s\n", int(c.TTL.Seconds()), c.Text)
	for _, p := range prefixes {
		out.WriteString(value{prefix: p}.String()) //nolint:errcheck // Flush tells
		out.WriteByte('\n')                        //nolint:errcheck // likewise
	}
	return out.Flush()
}
