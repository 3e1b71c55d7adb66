package main

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

// samples keeps the last line of each shape that could not be read, secrets
// masked. Of too many shapes the one that was not seen for longest is forgotten.
// It is safe for concurrent use.
type samples struct {
	mu     sync.Mutex
	number uint64
	stages map[string]map[string]*sampled // by stage and shape
}

// sampled is the last line of a shape. Lines are numbered in the order in which
// they came.
type sampled struct {
	console.Sample
	first, last uint64
}

// line keeps a line of sendmail's that is of no known form.
func (s *samples) line(l *detector.Line, text string) {
	s.add(sendmail.Shape(text, lineShape), text, console.Sample{
		Stage: "sendmail", Time: l.Received, Sender: l.Sender, Host: l.Host,
	})
}

// frame keeps a frame that the receiver cannot read.
func (s *samples) frame(u receiver.Unread) {
	s.add(sendmail.Shape(u.Text, frameShape), u.Text, console.Sample{
		Stage: u.Stage, Reason: u.Reason, Time: u.Received, Sender: u.Sender, Host: u.Host,
	})
}

// add keeps text in place of the last line of its shape. The strings may lie in
// a buffer that is used again.
func (s *samples) add(shape, text string, about console.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	shapes := s.stages[about.Stage]
	if shapes == nil {
		if s.stages == nil {
			s.stages = make(map[string]map[string]*sampled)
		}
		shapes = make(map[string]*sampled)
		s.stages[about.Stage] = shapes
	}
	s.number++
	kept, ok := shapes[shape]
	if !ok {
		forgetOldest(shapes)
		kept = &sampled{first: s.number}
		shapes[strings.Clone(shape)] = kept
	}
	about.Sender, about.Host = strings.Clone(about.Sender), strings.Clone(about.Host)
	about.Text = strings.Clone(sendmail.MaskUnknown(text[:min(len(text), maxSampleText)]))
	about.Count = kept.Count + 1
	kept.Sample, kept.last = about, s.number
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

// list returns the samples, the last first.
func (s *samples) list() []console.Sample {
	kept := s.sorted(func(a, b *sampled) int { return cmp.Compare(b.last, a.last) })
	list := make([]console.Sample, 0, len(kept))
	for _, k := range kept {
		list = append(list, k.Sample)
	}
	return list
}

// texts returns the texts in the order in which their shapes came first.
func (s *samples) texts() (texts []string) {
	for _, k := range s.sorted(func(a, b *sampled) int { return cmp.Compare(a.first, b.first) }) {
		texts = append(texts, k.Text)
	}
	return texts
}

func (s *samples) sorted(order func(a, b *sampled) int) (kept []sampled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pointers []*sampled
	for _, shapes := range s.stages {
		for _, k := range shapes {
			pointers = append(pointers, k)
		}
	}
	slices.SortFunc(pointers, order)
	for _, k := range pointers {
		kept = append(kept, *k)
	}
	return kept
}
