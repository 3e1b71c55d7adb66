package header

import "strings"

// Tags says which tags matter, and in whose messages another header may stand.
// It is immutable and safe for concurrent use.
type Tags struct {
	own, wrapping []pattern
	// untagged says that a message without a tag may hold another header.
	untagged bool
	// first holds the bytes with which own tags begin.
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

// mayHold reports whether the text of a message could begin with a header or
// with a tag of the program's. It says no to nearly every line of sendmail.
func (t *Tags) mayHold(tag, text string) bool {
	switch {
	case len(text) < len("a[1]: "):
		return false
	case tag == "":
		return true
	case t == nil:
		return false
	default:
		return t.first[text[0]] || len(t.wrapping) > 0 || text[3] == ' ' || text[4] == '-' || text[0] == '<' || text[0] == '{'
	}
}
