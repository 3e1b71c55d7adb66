package console

import (
	"compress/gzip"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"uppercut/enforcer/statedir"
)

// The history outlives a restart in a file of the state directory: its slots with
// a number for each name, compressed. It is written every two minutes, so that is
// what a crash costs at most.

// historyFile is its name.
const historyFile = "history"

const (
	historyVersion = 1
	maxHistoryFile = 64 << 20 // bytes, unpacked: far more than there can be
)

// savedHistory is what the file holds. Names are written once and then by number.
type savedHistory struct {
	Version int
	From    time.Time
	Names   []string
	Rings   []savedRing
}

type savedRing struct {
	Width time.Duration
	Slots []savedSlot
}

type savedSlot struct {
	Start  int64 // Unix seconds
	Counts []savedCount
}

type savedCount struct {
	Measure uint8
	Name    uint32
	Count   uint64
}

// save replaces the file in one step.
func (h *history) save(path string) error {
	err := statedir.Replace(path, func(w io.Writer) error {
		packed := gzip.NewWriter(w)
		return errors.Join(gob.NewEncoder(packed).Encode(h.saved()), packed.Close())
	})
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// saved is the history as it is now.
func (h *history) saved() savedHistory {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := savedHistory{Version: historyVersion, From: h.from}
	numbers := make(map[string]uint32)
	number := func(name string) uint32 {
		n, known := numbers[name]
		if !known {
			n = uint32(len(s.Names))
			numbers[name] = n
			s.Names = append(s.Names, name)
		}
		return n
	}
	for _, r := range h.rings {
		kept := savedRing{Width: r.width}
		for i := range r.slots {
			if one := r.slots[i].saved(number); len(one.Counts) > 0 {
				kept.Slots = append(kept.Slots, one)
			}
		}
		s.Rings = append(s.Rings, kept)
	}
	return s
}

func (s *slot) saved(number func(string) uint32) savedSlot {
	one := savedSlot{Start: s.start.Unix()}
	for m := range s.counts {
		for name, n := range s.counts[m] {
			one.Counts = append(one.Counts, savedCount{uint8(m), number(name), n})
		}
	}
	return one
}

// load reads what an earlier run saved, of a time before now; there may be
// nothing. On error the history is empty.
func (h *history) load(path string, now time.Time) error {
	f, err := statedir.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	defer f.Close()
	var s savedHistory
	packed, err := gzip.NewReader(f)
	if err == nil {
		unpacked := io.LimitReader(packed, maxHistoryFile)
		err = gob.NewDecoder(unpacked).Decode(&s)
		if err == nil {
			_, err = io.Copy(io.Discard, unpacked) // to the checksum
		}
	}
	if err != nil {
		return fmt.Errorf("read history %q: %w", path, err)
	}
	if s.Version != historyVersion {
		return fmt.Errorf("read history %q: version %d is not known", path, s.Version)
	}
	h.restore(s, now)
	return nil
}

// restore takes what fits into the rings and is not of a time to come.
func (h *history) restore(s savedHistory, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.From.Before(now) {
		h.from = s.From
	}
	for _, saved := range s.Rings {
		for i := range h.rings {
			if h.rings[i].width == saved.Width {
				h.rings[i].restore(saved.Slots, s.Names, now)
			}
		}
	}
}

func (r *ring) restore(saved []savedSlot, names []string, now time.Time) {
	oldest := now.Add(-r.width * time.Duration(len(r.slots)))
	for _, one := range saved {
		start := time.Unix(one.Start, 0)
		if start.After(now) || start.Before(oldest) {
			continue
		}
		for _, c := range one.Counts {
			if c.Measure < uint8(numMeasures) && int(c.Name) < len(names) {
				r.at(start).add(measure(c.Measure), names[c.Name], c.Count)
			}
		}
	}
}
