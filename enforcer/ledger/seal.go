package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// What bbolt keeps has no checksum but its own head, so each record has one of
// its bucket, key and value (CRC-32C), and each bucket a tally of its records: a
// bit that has flipped is noticed, and so is a record that is gone, has come
// back or stands under another key.
//
//	record   version (1 byte), checksum (4 bytes, big endian), payload
//	tally    number of records, sum of their checksums (8 bytes each)

// sealed is the version that starts every record.
const sealed = 2

const sealSize = 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("wrong checksum")

// checksum covers where a record stands and what it says.
func checksum(bucket, key, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// seal returns the record of a payload.
func seal(bucket, key, payload []byte) []byte {
	r := make([]byte, 0, sealSize+len(payload))
	r = append(r, sealed)
	r = binary.BigEndian.AppendUint32(r, checksum(bucket, key, payload))
	return append(r, payload...)
}

// unseal returns the payload of a record.
func unseal(bucket, key, record []byte) ([]byte, error) {
	switch {
	case len(record) < sealSize:
		return nil, fmt.Errorf("%w: record of %d bytes", ErrDamaged, len(record))
	case record[0] > sealed:
		return nil, fmt.Errorf("%w: record version %d", ErrNewer, record[0])
	case record[0] != sealed:
		return nil, fmt.Errorf("%w: record version %d", ErrDamaged, record[0])
	}
	payload := record[sealSize:]
	if binary.BigEndian.Uint32(record[1:]) != checksum(bucket, key, payload) {
		return nil, fmt.Errorf("%w: %s %x: %w", ErrDamaged, bucket, key, errChecksum)
	}
	return payload, nil
}

// tally is what a bucket holds.
type tally struct{ count, sum uint64 }

func (t *tally) add(record []byte) {
	if len(record) >= sealSize {
		t.count++
		t.sum += uint64(binary.BigEndian.Uint32(record[1:]))
	}
}

func (t *tally) remove(record []byte) {
	if len(record) >= sealSize {
		t.count--
		t.sum -= uint64(binary.BigEndian.Uint32(record[1:]))
	}
}

// tallies are those of all buckets, and the highest ID of a block: its sequence
// in bbolt has no checksum.
type tallies struct {
	of     map[string]*tally
	lastID uint64
}

func newTallies() tallies {
	t := tallies{of: map[string]*tally{}}
	for _, name := range tallied {
		t.of[string(name)] = &tally{}
	}
	return t
}

// tallied are the buckets that have a tally, in the order in which it is kept.
var tallied = [][]byte{bucketBlocks, bucketHistory, bucketAllow, bucketAudit}

func (t tallies) encode() (payload []byte) {
	for _, name := range tallied {
		payload = binary.BigEndian.AppendUint64(payload, t.of[string(name)].count)
		payload = binary.BigEndian.AppendUint64(payload, t.of[string(name)].sum)
	}
	return binary.BigEndian.AppendUint64(payload, t.lastID)
}

// readTallies reads what writeTallies wrote.
func readTallies(tx *bbolt.Tx) (tallies, error) {
	t := newTallies()
	record := tx.Bucket(bucketMeta).Get(keyTallies)
	if record == nil {
		return t, fmt.Errorf("%w: no tallies", ErrDamaged)
	}
	payload, err := unseal(bucketMeta, keyTallies, record)
	if err != nil {
		return t, err
	}
	if len(payload) != 16*len(tallied)+8 {
		return t, fmt.Errorf("%w: tallies of %d bytes", ErrDamaged, len(payload))
	}
	for i, name := range tallied {
		*t.of[string(name)] = tally{binary.BigEndian.Uint64(payload[16*i:]), binary.BigEndian.Uint64(payload[16*i+8:])}
	}
	t.lastID = binary.BigEndian.Uint64(payload[16*len(tallied):])
	return t, nil
}

func writeTallies(tx *bbolt.Tx, t tallies) error {
	return tx.Bucket(bucketMeta).Put(keyTallies, seal(bucketMeta, keyTallies, t.encode()))
}

// writer puts records into a bucket and keeps its tally.
type writer struct {
	name   []byte
	bucket *bbolt.Bucket
	tally  *tally
}

func (t tallies) writer(tx *bbolt.Tx, name []byte) writer {
	return writer{name, tx.Bucket(name), t.of[string(name)]}
}

func (w writer) put(key, payload []byte) error {
	record := seal(w.name, key, payload)
	w.tally.remove(w.bucket.Get(key))
	w.tally.add(record)
	return w.bucket.Put(key, record)
}

func (w writer) delete(key []byte) error {
	w.tally.remove(w.bucket.Get(key))
	return w.bucket.Delete(key)
}

// get returns a payload, nil if there is none.
func (w writer) get(key []byte) ([]byte, error) {
	record := w.bucket.Get(key)
	if record == nil {
		return nil, nil
	}
	return unseal(w.name, key, record)
}
