package replay

import (
	"github.com/cespare/xxhash/v2"

	"uppercut/cmd/uppercut/replay/logfile"
)

// markSame finds files whose text was given before, perhaps packed otherwise:
// their lines would count twice.
func (in *input) markSame() {
	sums := map[int]uint64{}
	sum := func(s *source) uint64 {
		if _, known := sums[s.index]; !known {
			sums[s.index] = textSum(s.name)
		}
		return sums[s.index]
	}
	for i, s := range in.sources {
		for _, before := range in.sources[:i] {
			if s.start != 0 && s.start == before.start && before.same == "" && sum(s) == sum(before) {
				s.same = before.name
				break
			}
		}
	}
}

// textSum returns a hash of the unpacked text, as far as it can be read.
func textSum(path string) uint64 {
	f, err := logfile.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	digest, buffer := xxhash.New(), make([]byte, chunkSize)
	for {
		text, err := f.Next(buffer)
		if err != nil {
			return digest.Sum64()
		}
		_, _ = digest.Write(text)
	}
}
