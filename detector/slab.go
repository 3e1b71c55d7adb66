package detector

import (
	"math/bits"

	"uppercut/detector/offence"
)

// mark is what a source remembers of one second: points by one reason, one
// host and one session. In a list of favours it stands for messages instead.
type mark struct {
	second  uint32 // Unix time
	weight  uint16 // points; messages in a list of favours
	session uint16 // a tag of the SMTP session; severalSessions after merging
	extra   uint16 // how many offences; for AUTH failures a tag of the user
	origin  uint16 // host and reason
}

// severalSessions is the session of a mark that stands for more than one.
const severalSessions = 0

const (
	maxWeight = 1<<16 - 1
	maxExtra  = 1<<16 - 1
)

// An origin holds a reason in its lower bits and a host in those above.
const (
	reasonBits = 6
	maxHosts   = 1<<(16-reasonBits) - 1 // the last number is none, see noNumber
)

func origin(host uint16, r offence.Reason) uint16 { return host<<reasonBits | uint16(r) }

func (m *mark) reason() offence.Reason { return offence.Reason(m.origin & (1<<reasonBits - 1)) }

func (m *mark) host() uint16 { return m.origin >> reasonBits }

// slab holds lists of marks in blocks of 2, 4, ... 64, without a pointer in
// them, so that the garbage collector never walks through them.
type slab struct {
	pages [][]mark
	next  uint32                   // the first mark that no block has taken
	free  [largestClass + 1]uint32 // the first free block of each class; 0 is none
	used  int                      // marks in blocks that are in use
	limit int                      // of pages
}

// A class is the binary logarithm of a block's size. Class 0 is no block: the
// marks that a source holds itself.
const (
	largestClass = 6
	maxMarks     = 1 << largestClass

	slabPageBits = 13
	slabPageSize = 1 << slabPageBits
)

// classFor returns the smallest class that holds n marks.
func classFor(n int) uint8 {
	if n <= ownMarks {
		return 0
	}
	return uint8(bits.Len(uint(n - 1)))
}

// block returns the marks of a block.
func (s *slab) block(ref uint32, class uint8) []mark {
	page, at := s.pages[ref>>slabPageBits], ref&(slabPageSize-1)
	return page[at : at+1<<class : at+1<<class]
}

// room tells whether a block of the class can be taken.
func (s *slab) room(class uint8) bool {
	if s.fits(class) || len(s.pages) < s.limit {
		return true
	}
	for larger := class; larger <= largestClass; larger++ {
		if s.free[larger] != 0 {
			return true
		}
	}
	return false
}

// fits tells whether the last page has room for a block.
func (s *slab) fits(class uint8) bool {
	return s.next+1<<class <= uint32(len(s.pages))<<slabPageBits
}

// take returns a block of the class, with whatever was in it. There must be
// room.
func (s *slab) take(class uint8) uint32 {
	s.used += 1 << class
	if s.free[class] != 0 {
		return s.pop(class)
	}
	if s.fits(class) || len(s.pages) < s.limit {
		return s.carve(class)
	}
	larger := class + 1
	for s.free[larger] == 0 {
		larger++
	}
	ref := s.pop(larger)
	s.release(ref+1<<class, ref+1<<larger)
	return ref
}

func (s *slab) pop(class uint8) uint32 {
	ref := s.free[class]
	s.free[class] = s.block(ref, class)[0].second
	return ref
}

// carve takes a new block off the last page, or off a new one. What is left of
// the old page becomes free blocks.
func (s *slab) carve(class uint8) uint32 {
	size := uint32(1) << class
	if end := uint32(len(s.pages)) << slabPageBits; !s.fits(class) {
		s.release(s.next, end)
		s.pages = append(s.pages, make([]mark, slabPageSize))
		s.next = end
		if end == 0 {
			s.next = 2 // 0 means none
		}
	}
	ref := s.next
	s.next += size
	return ref
}

// release makes free blocks of the marks from ref to end, the smallest first,
// so that a split block leaves one of each size.
func (s *slab) release(ref, end uint32) {
	for class := uint8(largestClass); class > 0; class-- {
		for ; end-ref >= 1<<class; end -= 1 << class {
			s.push(end-1<<class, class)
		}
	}
}

// give takes a block back.
func (s *slab) give(ref uint32, class uint8) {
	s.used -= 1 << class
	s.push(ref, class)
}

func (s *slab) push(ref uint32, class uint8) {
	s.block(ref, class)[0].second = s.free[class]
	s.free[class] = ref
}
