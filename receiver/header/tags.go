package header

import "strings"

// Tags says which tags matter, and in whose messages another header may stand.
// It is immutable and safe for concurrent use.
type Tags struct {
	own, wrapping []pattern
	// untagged says that a message without a tag may hold another header.
	untagged bool
	// first holds the bytes with which own tags and headers begin.
	first [256]bool
}

// pattern is a tag, or with open the beginning of one.
type pattern struct {
	text string
	open bool
}

// Untagged stands, in the list of tags that wrap, for messages without a tag.
const Untagged = "-"

// NewTags makes Tags of lists of tags, in which a * at the end stands for any
// rest. own are the tags of the program whose lines matter: in a message of
// theirs another "TAG[PID]: " of theirs, or a whole header, is the one that
// counts. wrapping are tags of programs that pass on what others write.
func NewTags(own, wrapping []string) *Tags {
	t := &Tags{own: patterns(own)}
	for _, c := range "<{[" {
		t.first[c] = true
	}
	for _, p := range t.own {
		if p.text == "" {
			for i := range t.first {
				t.first[i] = true
			}
			continue
		}
		t.first[p.text[0]] = true
	}
	for _, p := range patterns(wrapping) {
		for i := range t.first { // anything may stand in such a message
			t.first[i] = true
		}
		if p.text == Untagged && !p.open {
			t.untagged = true
			continue
		}
		t.wrapping = append(t.wrapping, p)
	}
	return t
}

func patterns(list []string) (all []pattern) {
	for _, tag := range list {
		text, open := strings.CutSuffix(tag, "*")
		all = append(all, pattern{text, open})
	}
	return all
}

// Own reports whether tag is one of the program's.
func (t *Tags) Own(tag string) bool { return t != nil && match(t.own, tag) }

// wraps reports whether messages of tag may hold another header.
func (t *Tags) wraps(tag string) bool {
	if t == nil {
		return false
	}
	if tag == "" {
		return t.untagged
	}
	return match(t.wrapping, tag)
}

func match(patterns []pattern, tag string) bool {
	for _, p := range patterns {
		if tag == p.text || p.open && strings.HasPrefix(tag, p.text) {
			return true
		}
	}
	return false
}

// plain reports whether text, of at least five bytes behind a tag with a PID,
// begins neither with a header nor with a tag of the program's. It says so of
// nearly every line of sendmail.
func (t *Tags) plain(text string) bool {
	return t != nil && !t.first[text[0]] && text[3] != ' ' && text[4] != '-'
}

// mayHold reports whether text, behind tag, is long enough to hold a header or a
// tag, and begins as one does.
func (t *Tags) mayHold(tag, text string) bool {
	return len(text) >= len("a[1]: ") && (tag == "" || t != nil && !t.plain(text))
}
