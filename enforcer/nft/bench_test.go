package nft

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// BenchmarkApply measures transactions of new elements until the kernel has
// acknowledged them.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{1, MaxBatch} {
		b.Run("elements="+strconv.Itoa(size), func(b *testing.B) {
			c := newKernel(b).config()
			c.HashSize = 1 << 24
			f := built(b, c)
			elems := make([]Element, size)
			n := uint32(0)
			b.ReportAllocs()
			for b.Loop() {
				for i := range elems {
					n++
					var a [4]byte
					binary.BigEndian.PutUint32(a[:], 16<<24+n)
					elems[i] = Element{netip.PrefixFrom(netip.AddrFrom4(a), 32), time.Hour}
				}
				if refused, err := f.Apply(elems); err != nil || len(refused) > 0 {
					b.Fatal(refused, err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "elements/s")
		})
	}
}
