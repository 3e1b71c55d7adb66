package guard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"uppercut/enforcer/prefix"
)

// allowList is the configured allow list with its files read.
type allowList struct {
	entries
	files map[string]allowFile // by path
}

// entries are those of a list or a file that are no file.
type entries struct {
	prefixes []netip.Prefix
	names    []string
}

func (es *entries) add(e Entry) {
	es.prefixes = append(es.prefixes, e.Prefixes...)
	if e.Name != "" {
		es.names = append(es.names, e.Name)
	}
}

// readAllow parses a list and reads its files.
func readAllow(list []string) (allowList, error) {
	l := allowList{files: map[string]allowFile{}}
	var errs []error
	for i, s := range list {
		e, err := ParseEntry(s)
		if err == nil && e.File != "" {
			l.files[e.File], err = openAllowFile(e.File)
		}
		if err == nil {
			err = e.tooMuch(s)
		}
		for _, mistake := range unjoin(err) {
			errs = append(errs, fmt.Errorf("allow[%d]: %w", i, mistake))
		}
		l.add(e)
	}
	return l, errors.Join(errs...)
}

// filePrefixes returns the prefixes of all files.
func (l *allowList) filePrefixes() (ps []netip.Prefix) {
	for _, f := range l.files {
		ps = append(ps, f.inForce.prefixes...)
	}
	return ps
}

// allNames returns the names of the list and of its files.
func (l *allowList) allNames() []string {
	names := slices.Clone(l.names)
	for _, f := range l.files {
		names = append(names, f.inForce.names...)
	}
	return names
}

// allowFile is a file as it was when somebody last looked.
type allowFile struct {
	path  string
	stamp fileStamp
	// inForce is what counts. It holds more than content while the file is
	// settling: what a change took away stays until the next look finds no
	// other change, since an editor may have been half-way.
	inForce  entries
	content  entries
	settling bool
}

// fileStamp changes when a file does.
type fileStamp struct {
	modified time.Time
	size     int64
}

func openAllowFile(path string) (allowFile, error) {
	f, err := allowFile{path: path}.look()
	f.inForce, f.settling = f.content, false
	return f, err
}

// look returns the file as it is now. On error it is as it was.
func (f allowFile) look() (allowFile, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return f, err
	}
	if !info.Mode().IsRegular() {
		return f, fmt.Errorf("read %q: not a regular file", f.path)
	}
	stamp := fileStamp{info.ModTime(), info.Size()}
	if stamp == f.stamp {
		if f.settling {
			f.inForce, f.settling = f.content, false
		}
		return f, nil
	}
	content, err := readEntries(f.path)
	if err != nil {
		return f, err
	}
	f.inForce = entries{
		prefixes: slices.Concat(f.inForce.prefixes, content.prefixes),
		names:    slices.Concat(f.inForce.names, content.names),
	}
	f.stamp, f.content, f.settling = stamp, content, true
	return f, nil
}

// readEntries reads a file with one entry a line; # begins a comment.
func readEntries(path string) (es entries, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return es, err
	}
	n := 0
	var mistakes []error
	for line := range strings.Lines(string(data)) {
		n++
		text, _, _ := strings.Cut(line, "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		e, err := ParseEntry(text)
		if err == nil && e.File != "" {
			err = fmt.Errorf("%q: a file cannot name another file", text)
		}
		if err == nil {
			err = e.tooMuch(text)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s:%d: %w", path, n, err))
			continue
		}
		es.add(e)
	}
	return es, errors.Join(mistakes[:min(len(mistakes), maxMistakes)]...)
}

// maxMistakes is how many lines of a file are named.
const maxMistakes = 20

// pollFiles looks at the allow files and at the resolver files until ctx is
// cancelled.
func (g *Guard) pollFiles(ctx context.Context) {
	for pause(ctx, g.configuration().Poll) {
		g.settle(sourceFiles, g.lookAtFiles())
		if !g.options.Static {
			g.settle(sourceResolvers, g.readResolvers())
		}
	}
}

// lookAtFiles reads the allow files that have changed.
func (g *Guard) lookAtFiles() error {
	g.mu.Lock()
	list := g.list
	g.mu.Unlock()
	fresh := make(map[string]allowFile, len(list.files))
	changed := false
	var errs []error
	for path, f := range list.files {
		now, err := f.look()
		errs = append(errs, err)
		changed = changed || now.stamp != f.stamp || now.settling != f.settling
		fresh[path] = now
	}
	if changed {
		g.putFiles(fresh)
	}
	return errors.Join(errs...)
}

// putFiles puts files in force, those that a Reload has not dropped meanwhile.
func (g *Guard) putFiles(files map[string]allowFile) {
	g.change(func(s *snapshot) {
		merged := make(map[string]allowFile, len(g.list.files))
		for path, f := range g.list.files {
			if now, ok := files[path]; ok {
				f = now
			}
			merged[path] = f
		}
		g.list.files = merged
		g.applyFiles(s)
	})
	wake(g.wakeNames)
}

// applyFiles brings prefixes and names of files into s. The lock is held.
func (g *Guard) applyFiles(s *snapshot) {
	s.set(allowFiles, g.list.filePrefixes())
	g.keepNames(g.list.allNames())
	s.set(allowNames, g.nameAddrs())
}

// readResolvers reads the nameserver lines (resolv.conf(5)) of all files; libc
// uses three of them, we exempt every one.
func (g *Guard) readResolvers() error {
	var ps []netip.Prefix
	var errs []error
	for _, path := range g.configuration().ResolvConf {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		ps = append(ps, nameservers(data)...)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	g.change(func(s *snapshot) { s.set(resolvers, ps) })
	return nil
}

func nameservers(resolvConf []byte) (ps []netip.Prefix) {
	for scan := bufio.NewScanner(bytes.NewReader(resolvConf)); scan.Scan(); {
		fields := strings.Fields(scan.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			ps = append(ps, prefix.Single(a.Unmap().WithZone("")))
		}
	}
	return ps
}

// pause waits for d and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
