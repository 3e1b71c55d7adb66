package sendmail

import "strings"

const (
	maxSample     = 20  // lines
	maxSampleText = 512 // bytes of each
)

// sample keeps the first lines of each shape that were not understood.
type sample struct {
	shapes map[string]struct{}
	lines  []string
}

func (s *sample) texts() []string { return append([]string(nil), s.lines...) }

func (s *sample) add(text string) {
	if len(s.lines) >= maxSample {
		return
	}
	shape := shapeOf(text)
	if _, ok := s.shapes[shape]; ok {
		return
	}
	if s.shapes == nil {
		s.shapes = make(map[string]struct{})
	}
	s.shapes[strings.Clone(shape)] = struct{}{}
	s.lines = append(s.lines, strings.Clone(Mask(text[:min(len(text), maxSampleText)])))
}

// shapeOf returns the beginning of a line without its queue id and numbers.
func shapeOf(text string) string {
	if n, _ := idLength(text); n > 0 {
		text = text[n:]
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, text[:min(len(text), 24)])
}
