// Package samples keeps some of the lines that could not be read, for people to
// look at.
package samples

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"uppercut/cmd/uppercut/console"
	"uppercut/detector"
	"uppercut/detector/sendmail"
	"uppercut/receiver"
)

const (
	// maxStageSamples is how many shapes of lines are kept for each stage.
	maxStageSamples = 20
	// maxSampleText bounds the text of each, in bytes.
	maxSampleText = 512
	// Two lines have one shape if they begin with the same bytes, numbers aside:
	// so many of sendmail's text, and of a frame, where the header is part of it.
	lineShape, frameShape = 24, 64
)

// Samples keeps the last line of each shape that could not be read. It masks the
// secrets when it is asked: lines may come as fast as all others. Of too many
// shapes the one that was not seen for longest is forgotten. It is safe for
// concurrent use.
type Samples struct {
	mu     sync.Mutex
	number uint64
	stages map[string]map[string]*sampled // by stage and shape
}

// sampled is the last line of a shape. Lines are numbered in the order in which
// they came.
type sampled struct {
	console.Sample        // but for its Text
	text           []byte // not masked
	first, last    uint64
}

// Line keeps a line of sendmail's that is of no known form.
func (s *Samples) Line(l *detector.Line, text string) {
	s.add(lineShape, text, console.Sample{
		Stage: "sendmail", Time: l.Received, Sender: l.Sender, Host: l.Host,
	})
}

// Frame keeps a frame that the receiver cannot read.
func (s *Samples) Frame(u receiver.Unread) {
	s.add(frameShape, u.Text, console.Sample{
		Stage: u.Stage, Reason: u.Reason, Time: u.Received, Sender: u.Sender, Host: u.Host,
	})
}

// add keeps text in place of the last line with the same beginning, of as many
// bytes as shape says. The strings may lie in a buffer that is used again.
func (s *Samples) add(shape int, text string, about console.Sample) {
	var buffer [frameShape]byte
	begins := sendmail.AppendShape(buffer[:0], text, shape)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	shapes := s.of(about.Stage)
	kept, ok := shapes[string(begins)]
	if !ok {
		forgetOldest(shapes)
		kept = &sampled{first: s.number}
		shapes[string(begins)] = kept
	}
	about.Sender, about.Host = cloned(about.Sender, kept.Sender), cloned(about.Host, kept.Host)
	about.Count = kept.Count + 1
	kept.Sample, kept.last = about, s.number
	kept.text = append(kept.text[:0], text[:min(len(text), maxSampleText)]...)
}

// of returns the samples of a stage by their shapes.
func (s *Samples) of(stage string) map[string]*sampled {
	shapes := s.stages[stage]
	if shapes == nil {
		if s.stages == nil {
			s.stages = make(map[string]map[string]*sampled)
		}
		shapes = make(map[string]*sampled)
		s.stages[stage] = shapes
	}
	return shapes
}

// cloned returns a copy of s: the one before, if it is equal.
func cloned(s, before string) string {
	if s == before {
		return before
	}
	return strings.Clone(s)
}

// forgetOldest makes room for one more shape.
func forgetOldest(shapes map[string]*sampled) {
	if len(shapes) < maxStageSamples {
		return
	}
	oldest := ""
	for shape, kept := range shapes {
		if oldest == "" || kept.last < shapes[oldest].last {
			oldest = shape
		}
	}
	delete(shapes, oldest)
}

// List returns the samples, the last first.
func (s *Samples) List() []console.Sample {
	kept := s.sorted(func(a, b *sampled) int { return cmp.Compare(b.last, a.last) })
	list := make([]console.Sample, 0, len(kept))
	for _, k := range kept {
		list = append(list, k.Sample)
	}
	return list
}

// Texts returns the texts in the order in which their shapes came first.
func (s *Samples) Texts() (texts []string) {
	for _, k := range s.sorted(func(a, b *sampled) int { return cmp.Compare(a.first, b.first) }) {
		texts = append(texts, k.Text)
	}
	return texts
}

func (s *Samples) sorted(order func(a, b *sampled) int) []sampled {
	kept := s.copied()
	slices.SortFunc(kept, func(a, b sampled) int { return order(&a, &b) })
	for i := range kept {
		kept[i].Text = sendmail.MaskUnknown(kept[i].Text)
	}
	return kept
}

// copied returns all samples, with their texts as they came.
func (s *Samples) copied() (kept []sampled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shapes := range s.stages {
		for _, k := range shapes {
			c := *k
			c.Text = string(k.text)
			kept = append(kept, c)
		}
	}
	return kept
}
