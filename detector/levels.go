package detector

import (
	"iter"
	"math/bits"
)

// levels is how many levels of guilt there are, the least guilty first.
const levels = 16

// level is the sources of one level of guilt: a set of their numbers rather than a
// list through them, so that a source comes and goes without a touch of another
// one; among millions each of those would be a read from memory.
type level struct {
	members numberSet
	hand    uint32 // where the search for the stalest stands
	// latest are the last numbers that came, in a ring; some may have left.
	latest []uint32
	came   int // so many came
}

// maxLatest bounds how many of one level are known by the order in which they
// came.
const maxLatest = 2048

// add takes a source in.
func (l *level) add(number uint32) {
	l.members.add(number)
	if len(l.latest) < maxLatest {
		l.latest = append(l.latest, number)
	} else {
		l.latest[l.came%maxLatest] = number
	}
	l.came++
}

// backwards yields the members, those that came last first as far as that is
// known. It may yield one twice.
func (l *level) backwards() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i := range len(l.latest) {
			number := l.latest[(l.came-1-i)%maxLatest]
			if l.members.has(number) && !yield(number) {
				return
			}
		}
		for n, ok := l.members.from(0); ok; n, ok = l.members.from(n + 1) {
			if !yield(n) {
				return
			}
		}
	}
}

// numberSet is a set of numbers that finds the next member at once: a bit for
// each number, a bit for each word of those that is not 0, and so on.
type numberSet struct {
	tiers [6][]uint64 // a number has 32 bits, each tier takes 6
	count int
}

func (s *numberSet) has(n uint32) bool {
	word := n / 64
	return int(word) < len(s.tiers[0]) && s.tiers[0][word]>>(n%64)&1 != 0
}

// add puts in n, which is not in it.
func (s *numberSet) add(n uint32) {
	s.count++
	for i := range s.tiers {
		t := &s.tiers[i]
		word, bit := n/64, uint64(1)<<(n%64)
		for int(word) >= len(*t) {
			*t = append(*t, 0)
		}
		before := (*t)[word]
		(*t)[word] = before | bit
		if before != 0 {
			return
		}
		n = word
	}
}

// remove takes out n, which is in it.
func (s *numberSet) remove(n uint32) {
	s.count--
	for i := range s.tiers {
		word, bit := n/64, uint64(1)<<(n%64)
		s.tiers[i][word] &^= bit
		if s.tiers[i][word] != 0 {
			return
		}
		n = word
	}
}

// from returns the smallest member that is n or more.
func (s *numberSet) from(n uint32) (member uint32, ok bool) {
	for i := 0; i < len(s.tiers); {
		word := n / 64
		if int(word) >= len(s.tiers[i]) {
			return 0, false
		}
		rest := s.tiers[i][word] >> (n % 64) << (n % 64)
		if rest == 0 {
			n = word + 1
			i++
			continue
		}
		n = word*64 + uint32(bits.TrailingZeros64(rest))
		for ; i > 0; i-- {
			n = n*64 + uint32(bits.TrailingZeros64(s.tiers[i-1][n]))
		}
		return n, true
	}
	return 0, false
}
