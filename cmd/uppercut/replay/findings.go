package replay

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"uppercut/receiver/header"
)

// maxTagsSeen bounds the tags that are told apart in a report.
const maxTagsSeen = 64

// findings is what the headers of a file tell besides its lines.
type findings struct {
	// tags counts the lines of other programs; other those beyond maxTagsSeen.
	tags  map[string]uint64
	other uint64
	// wrapped counts lines that have a tag of sendmail's behind another, by
	// that tag: they are foreign.
	wrapped map[string]uint64
	// second counts lines of sendmail's behind the header of a relay.
	second uint64
	// recent are tags of the last foreign lines that tags does not count yet, the
	// one at next the oldest, so that few lines look into the map.
	recent [8]tagLines
	next   int
}

// tagLines is how many lines have a tag.
type tagLines struct {
	tag   string
	lines uint64
}

// own notes a line of sendmail's.
func (f *findings) own(h *header.Header) {
	if h.Second {
		f.second++
	}
}

// foreign notes a line of another program.
func (f *findings) foreign(h *header.Header) {
	if h.Withheld == header.WithheldTag {
		f.wrapped = countTag(f.wrapped, h.Tag, 1)
	}
	for i := range f.recent {
		if r := &f.recent[i]; r.tag == h.Tag {
			r.lines++
			return
		}
	}
	f.settle(tagLines{strings.Clone(h.Tag), 1})
}

// settle counts the oldest of the recent tags and puts t in its place.
func (f *findings) settle(t tagLines) {
	oldest := f.recent[f.next]
	f.recent[f.next] = t
	f.next = (f.next + 1) % len(f.recent)
	if oldest.lines == 0 {
		return
	}
	if _, known := f.tags[oldest.tag]; known || len(f.tags) < maxTagsSeen {
		f.tags = countTag(f.tags, oldest.tag, oldest.lines)
	} else {
		f.other += oldest.lines
	}
}

// countTag adds n to what m counts under key, as long as there is room.
func countTag(m map[string]uint64, key string, n uint64) map[string]uint64 {
	if m == nil {
		m = map[string]uint64{}
	}
	if _, known := m[key]; known || len(m) < maxTagsSeen {
		m[strings.Clone(key)] += n
	}
	return m
}

// add puts what was found in a chunk to f.
func (f *findings) add(c *findings) {
	for range c.recent {
		c.settle(tagLines{})
	}
	for tag, n := range c.tags {
		if _, known := f.tags[tag]; !known && len(f.tags) >= maxTagsSeen {
			f.other += n
			continue
		}
		f.tags = countTag(f.tags, tag, n)
	}
	for tag, n := range c.wrapped {
		f.wrapped = countTag(f.wrapped, tag, n)
	}
	f.other += c.other
	f.second += c.second
}

// emptied returns findings without any, whose memory is used again.
func (f *findings) emptied() findings {
	clear(f.tags)
	clear(f.wrapped)
	return findings{tags: f.tags, wrapped: f.wrapped}
}

// mostFrequent returns the keys of m, those that occur most in front.
func mostFrequent(m map[string]uint64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
}
