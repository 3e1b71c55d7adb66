package detector

// Names makes equal names of hosts and programs in one batch of lines the same
// memory. The judge, mostly on another processor than the parser, has to fetch
// what it reads of a line; so it fetches each name once for all of them. The
// zero value is ready for a batch.
type Names struct {
	recent [8]string
	next   int
}

// Share replaces the names of a line.
func (n *Names) Share(l *Line) {
	l.Host, l.Tag = n.same(l.Host), n.same(l.Tag)
}

// same returns the name that is equal to s, or remembers s.
func (n *Names) same(s string) string {
	for _, known := range n.recent {
		if known == s {
			return known
		}
	}
	n.recent[n.next%len(n.recent)] = s
	n.next++
	return s
}
