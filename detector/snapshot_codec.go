package detector

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/netip"
)

// snapshotWriter writes values; finish returns the first error.
type snapshotWriter struct {
	w       *bufio.Writer
	sum     hash.Hash32
	scratch []byte
	number  [8]byte
}

func newSnapshotWriter(w io.Writer) *snapshotWriter {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	return &snapshotWriter{w: bufio.NewWriterSize(io.MultiWriter(sum, w), 1<<18), sum: sum}
}

// bytes ignores the error: a bufio.Writer returns it again from Flush.
func (s *snapshotWriter) bytes(b []byte) { _, _ = s.w.Write(b) }

func (s *snapshotWriter) u32(n uint32) {
	binary.LittleEndian.PutUint32(s.number[:], n)
	s.bytes(s.number[:4])
}

func (s *snapshotWriter) u64(n uint64) {
	binary.LittleEndian.PutUint64(s.number[:], n)
	s.bytes(s.number[:])
}

func (s *snapshotWriter) bool(b bool) {
	if b {
		s.u32(1)
		return
	}
	s.u32(0)
}

func (s *snapshotWriter) string(text string) {
	s.u32(uint32(len(text)))
	s.bytes([]byte(text))
}

func (s *snapshotWriter) prefix(p netip.Prefix) {
	addr := p.Addr().As16()
	s.bytes(addr[:])
	s.u32(uint32(128 - p.Addr().BitLen() + p.Bits()))
}

func (s *snapshotWriter) finish() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	s.u32(s.sum.Sum32())
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// snapshotReader reads values until the first error, after which all are zero.
type snapshotReader struct {
	r       *bufio.Reader
	sum     hash.Hash32
	err     error
	number  [8]byte
	scratch [maxMarks * markSize]byte
	version uint32
}

func newSnapshotReader(r io.Reader) *snapshotReader {
	return &snapshotReader{r: bufio.NewReaderSize(r, 1<<18), sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
}

// begin reads magic and version.
func (s *snapshotReader) begin() error {
	var magic [len(snapshotMagic)]byte
	s.bytes(magic[:])
	s.version = s.u32()
	switch {
	case s.err != nil:
		return s.err
	case string(magic[:]) != snapshotMagic:
		return fmt.Errorf("%w: it is not a snapshot", ErrSnapshot)
	case s.version == 0 || s.version > snapshotVersion:
		return fmt.Errorf("%w: version %d, this program reads %d", ErrSnapshot, s.version, snapshotVersion)
	}
	return nil
}

func (s *snapshotReader) fail(what string) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: %s", ErrSnapshot, what)
	}
}

func (s *snapshotReader) bytes(b []byte) {
	if s.err != nil {
		clear(b)
		return
	}
	_, err := io.ReadFull(s.r, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.fail("it is truncated")
	case err != nil:
		s.err = fmt.Errorf("read snapshot: %w", err)
	}
	if s.err != nil {
		clear(b)
		return
	}
	_, _ = s.sum.Write(b) // a hash never returns an error
}

func (s *snapshotReader) u32() uint32 {
	s.bytes(s.number[:4])
	return binary.LittleEndian.Uint32(s.number[:])
}

func (s *snapshotReader) u64() uint64 {
	s.bytes(s.number[:])
	return binary.LittleEndian.Uint64(s.number[:])
}

func (s *snapshotReader) bool() bool { return s.u32() != 0 }

// count reads a number of things to come. Once something is wrong, none come.
func (s *snapshotReader) count(most uint32) func(yield func(uint32) bool) {
	n := s.u32()
	if n > most {
		s.fail("invalid number")
	}
	return func(yield func(uint32) bool) {
		for i := uint32(0); i < n && s.err == nil && yield(i); i++ {
		}
	}
}

// maxSnapshotString is more than any name has.
const maxSnapshotString = 4096

func (s *snapshotReader) string() string {
	n := s.u32()
	if n > maxSnapshotString {
		s.fail("invalid string")
		return ""
	}
	b := make([]byte, n)
	s.bytes(b)
	return string(b)
}

func (s *snapshotReader) prefix() netip.Prefix {
	var b [16]byte
	s.bytes(b[:])
	prefixBits := s.u32()
	if p := prefixOf(addressFrom(b), uint8(prefixBits)); prefixBits <= 128 && p.IsValid() {
		return p
	}
	s.fail("invalid prefix")
	return netip.Prefix{}
}

// marks reads a list; it is valid until the table has stored it.
func (s *snapshotReader) marks(n int) []mark {
	b := s.scratch[:n*markSize]
	s.bytes(b)
	list := make([]mark, n)
	for i := range list {
		le, at := binary.LittleEndian, b[i*markSize:]
		list[i] = mark{le.Uint32(at), le.Uint16(at[4:]), le.Uint16(at[6:]), le.Uint16(at[8:]), le.Uint16(at[10:])}
	}
	return list
}

// finish compares the checksum.
func (s *snapshotReader) finish() error {
	sum := s.sum.Sum32()
	if stored := s.u32(); s.err == nil && stored != sum {
		s.fail("wrong checksum")
	}
	return s.err
}
