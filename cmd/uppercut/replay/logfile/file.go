package logfile

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// MaxLine is where a line is cut, in bytes. Syslog daemons cut at 8 KiB or 64
// KiB; what is longer is no log line. It is the least size of a buffer for Next.
const MaxLine = 64 << 10

// maxWindow bounds what a zstd file may make the reader allocate, in bytes.
const maxWindow = 64 << 20

// File is a log file while it is read. Size and Consumed may be called by any
// goroutine, the rest by one.
type File struct {
	name     string
	size     int64
	modified time.Time
	packed   *counter
	text     io.Reader
	closers  []func() error

	// rest is the begin of a line whose end has not been read.
	rest []byte
	// cutting: the line that goes on was cut, its rest is skipped.
	cutting bool
	offset  int64
	err     error
}

// Open opens the file at path, whatever its packing.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the file
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	file := NewStream(path, f)
	file.closers = append(file.closers, f.Close)
	if !info.Mode().IsRegular() {
		return file, nil
	}
	file.size, file.modified = info.Size(), info.ModTime()
	if err := file.unpack(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return file, nil
}

// NewStream reads r, a pipe or the like, under name. It does not read before
// Next is called.
func NewStream(name string, r io.Reader) *File {
	return &File{name: name, packed: &counter{r: r}}
}

// unpack looks at the first bytes to learn how to read the rest.
func (f *File) unpack() error {
	err := f.choose(bufio.NewReaderSize(f.packed, 64<<10))
	if err != nil {
		err = fmt.Errorf("open %s: %w", f.name, err)
	}
	return err
}

// choose sets what unpacks r.
func (f *File) choose(r *bufio.Reader) error {
	magic, err := r.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		f.text = z
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		f.text = z
		f.closers = append(f.closers, func() error { z.Close(); return nil })
	case bytes.HasPrefix(magic, []byte("BZh")):
		f.text = bzip2.NewReader(r)
	default:
		f.text = r
	}
	return f.refuseForeign()
}

// refuseForeign says of what is no text what it is.
func (f *File) refuseForeign() error {
	r, ok := f.text.(*bufio.Reader)
	if !ok {
		r = bufio.NewReaderSize(f.text, 4<<10)
		f.text = r
	}
	head, _ := r.Peek(headSize) // reading will say what is wrong
	return explainForeign(head)
}

// Name is the path, or the name of the stream.
func (f *File) Name() string { return f.name }

// Size is the size on disk in bytes, 0 where nobody knows it.
func (f *File) Size() int64 { return f.size }

// Modified is when the file was last written to; zero for a stream.
func (f *File) Modified() time.Time { return f.modified }

// Consumed is how many of Size bytes have been read.
func (f *File) Consumed() int64 { return f.packed.n.Load() }

// Next fills buf, of at least MaxLine bytes, with the text that follows, and
// returns the whole lines in it, each with its LF except perhaps the last of the
// file. At the end the error is io.EOF; any other says where in the unpacked
// text reading broke off, and all whole lines before it have been returned.
func (f *File) Next(buf []byte) ([]byte, error) {
	if f.text == nil && f.err == nil {
		f.err = f.unpack()
	}
	for f.err == nil {
		if text := f.fill(buf); len(text) > 0 {
			return text, nil
		}
	}
	return nil, f.err
}

func (f *File) fill(buf []byte) []byte {
	n := copy(buf, f.rest)
	f.rest = f.rest[:0]
	for n < len(buf) && f.err == nil {
		var m int
		m, f.err = f.text.Read(buf[n:])
		n += m
		f.offset += int64(m)
	}
	f.explain()
	return f.wholeLines(f.skipCut(buf[:n]))
}

// explain gives an error its place.
func (f *File) explain() {
	if f.err != nil && !errors.Is(f.err, io.EOF) {
		f.err = fmt.Errorf("read %s: after %d bytes of text: %w", f.name, f.offset, f.err)
	}
	if errors.Is(f.err, io.ErrUnexpectedEOF) {
		f.err = fmt.Errorf("%w: the file is truncated", f.err)
	}
}

// skipCut drops the rest of a line that was cut, and the NULs that a log file
// begins with after copytruncate.
func (f *File) skipCut(b []byte) []byte {
	if f.cutting {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil
		}
		f.cutting = false
		b = b[end+1:]
	}
	return bytes.TrimLeft(b, "\x00")
}

// wholeLines keeps what stands behind the last LF for the next chunk.
func (f *File) wholeLines(b []byte) []byte {
	if errors.Is(f.err, io.EOF) {
		return b
	}
	end := bytes.LastIndexByte(b, '\n') + 1
	if f.err != nil { // the last line may be half a line
		return b[:end]
	}
	if end == 0 && len(b) >= MaxLine {
		f.cutting = true
		b[len(b)-1] = '\n'
		return b
	}
	f.rest = append(f.rest, b[end:]...)
	return b[:end]
}

// Close gives back what the file holds.
func (f *File) Close() error {
	var errs []error
	for _, closer := range slices.Backward(f.closers) {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}

// Stem is the path without what rotation and packing add to it:
// /var/log/maillog for /var/log/maillog.3.gz and /var/log/maillog-20261122.zst.
// Files of one stem were written by the same sender.
func Stem(path string) string {
	for _, ext := range []string{".gz", ".zst", ".bz2"} {
		path = strings.TrimSuffix(path, ext)
	}
	stem := strings.TrimRight(path, "0123456789")
	if len(stem) == len(path) || !strings.HasSuffix(stem, ".") && !strings.HasSuffix(stem, "-") {
		return path
	}
	stem = stem[:len(stem)-1]
	if !strings.ContainsFunc(filepath.Base(stem), unicode.IsLetter) { // 10.0.0.1 is a host
		return path
	}
	return stem
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n.Add(int64(n))
	return n, err
}
