// Package listfile reads files that list who is blocked until the file says
// otherwise: addresses, networks and ranges, one a line, as others publish them.
//
// Each file is read again when it has changed and changes no more: an editor may
// be half-way. A file that cannot be read, or that has a line which is none of
// these, counts as it was.
package listfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"github.com/prometheus/client_golang/prometheus"

	"uppercut/enforcer/guard"
)

// MaxEntries is how many prefixes all files together may hold, MaxSize how large
// one may be, in bytes.
const (
	MaxEntries = 1_000_000
	MaxSize    = 64 << 20
)

// maxMistakes is how many lines of a file are named.
const maxMistakes = 20

// Config is one block list.
type Config struct {
	// File is the absolute path of a file with one address, network or range
	// "192.0.2.10-192.0.2.19" a line; # and ; begin a comment. It is read again
	// when it changes.
	File string `mapstructure:"file"`
}

// Validate returns every mistake in the lists, joined (errors.Join), each
// beginning with its index.
func Validate(lists []Config) error {
	var mistakes []error
	seen := make(map[string]bool)
	for i, c := range lists {
		switch {
		case !filepath.IsAbs(c.File):
			mistakes = append(mistakes, fmt.Errorf("[%d].file: %q is not an absolute path", i, c.File))
		case seen[c.File]:
			mistakes = append(mistakes, fmt.Errorf("[%d].file: %q is listed twice", i, c.File))
		}
		seen[c.File] = true
	}
	return errors.Join(mistakes...)
}

// CheckFiles reads the files and returns what is wrong with them, as Validate
// does, with file and line.
func CheckFiles(lists []Config) error {
	var mistakes []error
	total := 0
	for i, c := range lists {
		ps, errs := read(c.File)
		for _, err := range errs {
			mistakes = append(mistakes, fmt.Errorf("[%d].file: %w", i, err))
		}
		if total += len(ps); total > MaxEntries {
			mistakes = append(mistakes, fmt.Errorf("[%d].file: %w", i, errTooMany))
			break
		}
	}
	return errors.Join(mistakes...)
}

var errTooMany = fmt.Errorf("more than %d networks in all lists together", MaxEntries)

// read returns the prefixes of a file, or every mistake in it, the first
// maxMistakes.
func read(path string) (ps []netip.Prefix, mistakes []error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, []error{err}
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, []error{err}
	case !info.Mode().IsRegular():
		return nil, []error{fmt.Errorf("read %q: not a regular file", path)}
	case info.Size() > MaxSize:
		return nil, []error{fmt.Errorf("read %q: %d bytes, more than the limit of %d", path, info.Size(), MaxSize)}
	}
	lines := bufio.NewScanner(io.LimitReader(f, MaxSize))
	for n := 1; lines.Scan(); n++ {
		more, err := parseLine(lines.Text())
		if ps = append(ps, more...); err == nil && len(ps) > MaxEntries {
			err = errTooMany
		}
		if err == nil {
			continue
		}
		if mistakes = append(mistakes, fmt.Errorf("%s:%d: %w", path, n, err)); len(mistakes) == maxMistakes || len(ps) > MaxEntries {
			break
		}
	}
	if err := lines.Err(); err != nil {
		mistakes = append(mistakes, fmt.Errorf("read %q: %w", path, err))
	}
	if mistakes != nil {
		return nil, mistakes
	}
	return ps, nil
}

// parseLine returns the prefixes of a line, none if it is a comment.
func parseLine(line string) ([]netip.Prefix, error) {
	if i := strings.IndexAny(line, "#;"); i >= 0 {
		line = line[:i]
	}
	if line = strings.TrimSpace(line); line == "" {
		return nil, nil
	}
	e, err := guard.ParseEntry(line)
	if err != nil {
		return nil, err
	}
	if e.Prefixes == nil {
		return nil, fmt.Errorf("%q is not an address, a network or a range", line)
	}
	return e.Prefixes, nil
}

// Options are the collaborators of Lists.
type Options struct {
	Logger *slog.Logger // nil discards
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Poll is how often the files are looked at.
	Poll time.Duration
	// Apply puts the prefixes of all lists in force. It is called by Run alone,
	// when a list has changed and once a minute, since what was exempt may be
	// no more.
	Apply func(context.Context, []netip.Prefix) error
}

// reapplyEvery is how often the lists are applied without a change.
const reapplyEvery = time.Minute

// Lists are the block lists in force. It is safe for concurrent use.
type Lists struct {
	options  Options
	failures prometheus.Counter
	kick     chan struct{} // Reload was called

	mu         sync.Mutex
	files      []file
	generation int                 // of files: how often they were replaced
	owner      *bart.Table[string] // the first file that lists a prefix
}

// file is a list as it was when somebody last looked.
type file struct {
	path     string
	stamp    stamp // of what is in force
	next     stamp // of a change that may go on
	prefixes []netip.Prefix
	away     bool // it was not there at the last look
}

// stamp changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

// New reads the lists; it fails for one that cannot be read.
func New(lists []Config, o Options) (*Lists, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Lists{options: o, owner: new(bart.Table[string]), kick: make(chan struct{}, 1), failures: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "uppercut_blocklist_read_failures_total",
		Help: "Failed attempts to read a block list; the last version that could be read stays in force.",
	})}
	listed := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "uppercut_blocklist_entries",
		Help: "Addresses and networks in the block lists.",
	}, func() float64 { return float64(len(l.Prefixes())) })
	if o.Registerer != nil {
		o.Registerer.MustRegister(l.failures, listed)
	}
	return l, l.load(lists)
}

// load reads lists and puts them in the place of those that were.
func (l *Lists) load(lists []Config) error {
	if err := CheckFiles(lists); err != nil {
		return err
	}
	files := make([]file, 0, len(lists))
	for _, c := range lists {
		f := file{path: c.File}
		var err error
		if f.stamp, err = stampOf(c.File); err != nil {
			return err
		}
		f.next = f.stamp
		var mistakes []error
		if f.prefixes, mistakes = read(c.File); mistakes != nil {
			return errors.Join(mistakes...)
		}
		files = append(files, f)
	}
	l.put(files, always)
	return nil
}

// always puts files in the place of whichever there are.
const always = -1

// put puts files in the place of those of a generation, unless a reload has
// replaced them meanwhile.
func (l *Lists) put(files []file, generation int) bool {
	owner := new(bart.Table[string])
	for _, f := range files {
		for _, p := range f.prefixes {
			if _, taken := owner.Get(p); !taken {
				owner.Insert(p, f.path)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation != always && generation != l.generation {
		return false
	}
	l.files, l.owner = files, owner
	l.generation++
	return true
}

// Reload puts other lists in force. On error nothing has changed.
func (l *Lists) Reload(lists []Config) error {
	if err := l.load(lists); err != nil {
		return err
	}
	select {
	case l.kick <- struct{}{}:
	default:
	}
	return nil
}

// Prefixes are those of all lists, each once.
func (l *Lists) Prefixes() []netip.Prefix {
	l.mu.Lock()
	defer l.mu.Unlock()
	ps := make([]netip.Prefix, 0, l.owner.Size())
	for p := range l.owner.All() {
		ps = append(ps, p)
	}
	return ps
}

// FileOf is the file that lists exactly p, "" if none does.
func (l *Lists) FileOf(p netip.Prefix) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	path, _ := l.owner.Get(p)
	return path
}

// Run applies the lists, looks after their files and applies what changes, until
// ctx is cancelled.
func (l *Lists) Run(ctx context.Context) error {
	l.apply(ctx)
	poll := time.NewTicker(l.options.Poll)
	defer poll.Stop()
	again := time.NewTicker(reapplyEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			if l.look() {
				l.apply(ctx)
			}
		case <-l.kick:
			l.apply(ctx)
		case <-again.C:
			l.apply(ctx)
		}
	}
}

func (l *Lists) apply(ctx context.Context) {
	if err := l.options.Apply(ctx, l.Prefixes()); err != nil && ctx.Err() == nil {
		l.options.Logger.Error("cannot apply the block list", "error", err)
	}
}

// look reads the files that have changed since the last look but one, and tells
// whether any has.
func (l *Lists) look() (changed bool) {
	l.mu.Lock()
	files, generation := slices.Clone(l.files), l.generation
	l.mu.Unlock()
	for i := range files {
		changed = l.lookAt(files, i) || changed
	}
	if !changed {
		l.mu.Lock()
		defer l.mu.Unlock()
		if generation == l.generation {
			l.files = files // their stamps
		}
		return false
	}
	return l.put(files, generation)
}

// lookAt reads one of files if it has changed and has settled.
func (l *Lists) lookAt(files []file, i int) (changed bool) {
	f := &files[i]
	now, err := stampOf(f.path)
	if err != nil {
		if !f.away {
			l.fail(f, err)
		}
		f.away = true
		return false
	}
	f.away = false
	settled := now == f.next
	if f.next = now; !settled || now == f.stamp {
		return false
	}
	f.stamp = now
	ps, mistakes := read(f.path)
	total := len(ps)
	for j := range files {
		if j != i {
			total += len(files[j].prefixes)
		}
	}
	if total > MaxEntries {
		mistakes = append(mistakes, errTooMany)
	}
	if mistakes != nil {
		l.fail(f, errors.Join(mistakes...))
		return false
	}
	f.prefixes = ps
	l.options.Logger.Info("block list reloaded", "file", f.path, "entries", len(ps))
	return true
}

// fail counts and logs that f cannot be read.
func (l *Lists) fail(f *file, err error) {
	l.failures.Inc()
	l.options.Logger.Error("cannot read the block list; keeping the previous version", "file", f.path, "error", err)
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}
