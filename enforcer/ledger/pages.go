package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"golang.org/x/sys/unix"
)

// Before bbolt follows what a file says, the file is looked at: bbolt believes
// its pages, and a flipped bit in one can make it go round in circles, fall back
// to an earlier state without a word, or write over what is in use. This is the
// layout of version 2 of its files (bbolt 1.5, internal/common: page.go, meta.go
// and bucket.go), in the byte order of the machine.
const (
	pageHead    = 16 // id (8), flags (2), count (2), overflow (4)
	elementHead = 16 // of a branch: pos, ksize (4 each), id (8); of a leaf: flags, pos, ksize, vsize (4 each)
	bucketHead  = 16 // root (8), sequence (8)
	metaSize    = 64

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageMeta     = 0x04
	pageFreelist = 0x10
	leafBucket   = 0x01

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	maxPageSize = 1 << 16
)

var native = binary.NativeEndian

// pages is a database file that is looked at.
type pages struct {
	data []byte // the file
	size uint64 // of a page
	end  uint64 // the first page that was never used
	used map[uint64]struct{}
}

// checkPages returns what is wrong with a database file, as far as can be told
// from its pages; it wraps ErrDamaged unless the file cannot be read.
func checkPages(path string) error {
	f, err := os.Open(path) //nolint:gosec // the path is the owner's
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %q: %w", path, err)
	}
	defer func() { _ = unix.Munmap(data) }()
	root, freelist, p, err := readHead(data)
	if err == nil {
		err = errors.Join(p.tree(root), p.free(freelist))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// readHead reads both meta pages. One of them is the newer; that the other is
// whole, too, shows that it was not the newer.
func readHead(data []byte) (root, freelist uint64, p *pages, err error) {
	if len(data) < pageHead+metaSize {
		return 0, 0, nil, errors.New("no head")
	}
	first := data[:pageHead+metaSize]
	size := uint64(native.Uint32(first[pageHead+8:]))
	if size < 1024 || size > maxPageSize || size&(size-1) != 0 {
		return 0, 0, nil, fmt.Errorf("page size %d", size)
	}
	if uint64(len(data)) < size+pageHead+metaSize {
		return 0, 0, nil, errors.New("no second head")
	}
	second := data[size : size+pageHead+metaSize]
	newest := []byte(nil)
	for i, page := range [][]byte{first, second} {
		meta, err := metaOf(page, uint64(i)) //nolint:gosec // 0 or 1
		if err != nil {
			return 0, 0, nil, fmt.Errorf("head %d: %w", i, err)
		}
		if newest == nil || native.Uint64(meta[48:]) > native.Uint64(newest[48:]) {
			newest = meta
		}
	}
	p = &pages{data: data, size: size, end: native.Uint64(newest[40:]), used: map[uint64]struct{}{}}
	return native.Uint64(newest[16:]), native.Uint64(newest[32:]), p, nil
}

// metaOf returns the meta of a page: magic, version, page size, flags (4 bytes
// each), root, sequence, free list, end, transaction and checksum (8 each).
func metaOf(page []byte, id uint64) ([]byte, error) {
	meta := page[pageHead:]
	sum := fnv.New64a()
	sum.Write(meta[:metaSize-8])
	switch {
	case native.Uint64(page) != id || native.Uint16(page[8:]) != pageMeta:
		return nil, errors.New("not a head")
	case native.Uint32(meta) != boltMagic || native.Uint32(meta[4:]) != boltVersion:
		return nil, errors.New("not a ledger")
	case sum.Sum64() != native.Uint64(meta[metaSize-8:]):
		return nil, errChecksum
	}
	return meta, nil
}

// read returns a page with those that it overflows into.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < 2 || id >= p.end {
		return nil, fmt.Errorf("page %d of %d", id, p.end)
	}
	page, err := p.span(id, 1)
	if err != nil {
		return nil, err
	}
	overflow := uint64(native.Uint32(page[12:]))
	if native.Uint64(page) != id || overflow >= p.end-id {
		return nil, fmt.Errorf("page %d: bad head", id)
	}
	if page, err = p.span(id, 1+overflow); err != nil {
		return nil, err
	}
	for i := id; i <= id+overflow; i++ {
		if _, twice := p.used[i]; twice {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.used[i] = struct{}{}
	}
	return page, nil
}

// span returns n pages from one on.
func (p *pages) span(id, n uint64) ([]byte, error) {
	held := uint64(len(p.data)) / p.size
	if id >= held || n > held-id {
		return nil, fmt.Errorf("page %d is beyond the end of the file", id)
	}
	return p.data[id*p.size : (id+n)*p.size], nil
}

// tree looks at a page and all below it. That no page is used twice ends it.
func (p *pages) tree(id uint64) error {
	page, err := p.read(id)
	if err == nil {
		err = p.nodes(page)
	}
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// nodes looks at the elements of a page, which may be one within a bucket.
func (p *pages) nodes(page []byte) error {
	if len(page) < pageHead {
		return errors.New("too short")
	}
	kind, count := native.Uint16(page[8:]), int(native.Uint16(page[10:]))
	if kind != pageBranch && kind != pageLeaf || kind == pageBranch && count == 0 {
		return fmt.Errorf("kind %#x of %d elements", kind, count)
	}
	var last []byte
	for i := range count {
		at := pageHead + i*elementHead
		if at+elementHead > len(page) {
			return errors.New("more elements than it holds")
		}
		key, err := p.element(page, at, kind)
		if err != nil {
			return err
		}
		if i > 0 && bytes.Compare(key, last) <= 0 {
			return errors.New("keys are not in order")
		}
		last = key
	}
	return nil
}

// element looks at the element whose head is at a place, and at what it leads to.
func (p *pages) element(page []byte, at int, kind uint16) (key []byte, err error) {
	head := page[at : at+elementHead]
	pos, keySize, valueSize := native.Uint32(head), native.Uint32(head[4:]), uint32(0)
	if kind == pageLeaf {
		pos, keySize, valueSize = native.Uint32(head[4:]), native.Uint32(head[8:]), native.Uint32(head[12:])
	}
	start := uint64(at) + uint64(pos) //nolint:gosec // at is within a page
	end := start + uint64(keySize) + uint64(valueSize)
	if end > uint64(len(page)) {
		return nil, errors.New("an element extends beyond its page")
	}
	key, value := page[start:start+uint64(keySize)], page[start+uint64(keySize):end]
	switch {
	case kind == pageBranch:
		return key, p.tree(native.Uint64(head[8:]))
	case native.Uint32(head) > leafBucket:
		return nil, errors.New("an element of unknown kind")
	case native.Uint32(head) == leafBucket:
		return key, p.subtree(value)
	}
	return key, nil
}

// subtree looks at a bucket: its root, or the page within it.
func (p *pages) subtree(bucket []byte) error {
	if len(bucket) < bucketHead {
		return errors.New("a bucket is too short")
	}
	if root := native.Uint64(bucket); root != 0 {
		return p.tree(root)
	}
	return p.nodes(bucket[bucketHead:])
}

// free looks at the list of free pages: none may be in use.
func (p *pages) free(id uint64) error {
	page, err := p.read(id)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	count, ids := uint64(native.Uint16(page[10:])), page[pageHead:]
	if count == 0xffff { // the first number is the count
		count, ids = native.Uint64(ids), ids[8:]
	}
	if native.Uint16(page[8:]) != pageFreelist || count > uint64(len(ids)/8) {
		return errors.New("free list: not one")
	}
	for i := range count {
		id := native.Uint64(ids[8*i:])
		if _, used := p.used[id]; used || id < 2 || id >= p.end {
			return fmt.Errorf("free list: page %d is not free", id)
		}
		p.used[id] = struct{}{}
	}
	return nil
}
