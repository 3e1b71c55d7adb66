package main

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
	// last and run are the tag of the last foreign line and how many lines in
	// a row have it, so that few lines look into the map.
	last string
	run  uint64
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
	if h.Tag != f.last {
		f.settle()
		f.last = strings.Clone(h.Tag)
	}
	f.run++
}

// settle counts the lines of the last tag.
func (f *findings) settle() {
	if f.run == 0 {
		return
	}
	if _, known := f.tags[f.last]; known || len(f.tags) < maxTagsSeen {
		f.tags = countTag(f.tags, f.last, f.run)
	} else {
		f.other += f.run
	}
	f.run = 0
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
	c.settle()
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
