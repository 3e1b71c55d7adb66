package receiver

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// However a stream is read and taken, its bytes come out in order, also those
// whose memory a later part of the stream could have been read into.
func TestBufferModel(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 2))
	var sent, got bytes.Buffer
	type part struct {
		text    string
		release func()
	}
	var kept []part
	var b buffer
	handed := 0
	noise := make([]byte, 1<<18)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for range 500 { // reads
		space := b.space(64 << 10)
		n := len(space) // as a busy connection gives
		if random.IntN(2) == 0 {
			n = 1 + random.IntN(n)
		}
		copy(space[:n], noise[random.IntN(len(noise)-n):])
		sent.Write(space[:n])
		b.filled(n)
		text, release := b.take(random.IntN(b.have + 1))
		if release != nil {
			handed++
		}
		if kept = append(kept, part{text, release}); len(kept) < 10 && random.IntN(5) > 0 {
			continue
		}
		for _, p := range kept {
			got.WriteString(p.text)
			if p.release != nil {
				p.release()
			}
		}
		kept = kept[:0]
	}
	for _, p := range kept {
		got.WriteString(p.text)
	}
	got.Write(b.bytes())
	if !bytes.Equal(got.Bytes(), sent.Bytes()) {
		t.Errorf("%d bytes came out of %d, or others", got.Len(), sent.Len())
	}
	if handed < 50 {
		t.Errorf("memory was handed over %d times of 500", handed)
	}
}
