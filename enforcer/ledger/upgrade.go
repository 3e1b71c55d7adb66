package ledger

import (
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Version 1 had no checksums: the payload of a record in blocks stood behind a
// version of 1, all others were JSON alone.

// upgradeStep is how many records one transaction rewrites: a million in one
// would take a gigabyte.
const upgradeStep = 20_000

// upgrade brings a ledger of version 1 up to date. The version is written last,
// so one that was interrupted is done again.
func (l *Ledger) upgrade() error {
	t := newTallies()
	for _, name := range tallied {
		if err := l.upgradeBucket(name, t.of[string(name)]); err != nil {
			return fmt.Errorf("upgrade %s: %w", name, err)
		}
	}
	return l.db.Update(func(tx *bbolt.Tx) error {
		t.lastID = tx.Bucket(bucketBlocks).Sequence()
		if err := writeTallies(tx, t); err != nil {
			return err
		}
		return writeVersion(tx)
	})
}

func (l *Ledger) upgradeBucket(name []byte, t *tally) error {
	for after := []byte(nil); ; {
		last, err := l.upgradeSome(name, after, t)
		if err != nil || last == nil {
			return err
		}
		after = last
	}
}

// upgradeSome rewrites the next records behind a key and returns the last of
// them, nil at the end.
func (l *Ledger) upgradeSome(name, after []byte, t *tally) (last []byte, err error) {
	err = l.db.Update(func(tx *bbolt.Tx) error {
		var keys, records [][]byte
		c := tx.Bucket(name).Cursor()
		k, v := c.Seek(after)
		if slices.Equal(k, after) && after != nil {
			k, v = c.Next()
		}
		for ; k != nil && len(keys) < upgradeStep; k, v = c.Next() {
			record, err := upgraded(name, k, v)
			if err != nil {
				return err
			}
			keys, records = append(keys, slices.Clone(k)), append(records, record)
		}
		for i, key := range keys {
			if err := tx.Bucket(name).Put(key, records[i]); err != nil {
				return err
			}
			t.add(records[i])
			last = key
		}
		return nil
	})
	return last, err
}

// upgraded returns a record of today for one of version 1, or for one of today
// that an interrupted upgrade has left.
func upgraded(name, key, record []byte) ([]byte, error) {
	switch {
	case len(record) > 0 && record[0] == sealed:
		_, err := unseal(name, key, record)
		return slices.Clone(record), err
	case string(name) != string(bucketBlocks):
		return seal(name, key, record), nil
	case len(record) < 2 || record[0] != 1:
		return nil, fmt.Errorf("%w: block %x: %w", ErrDamaged, key, errRecord)
	}
	return seal(name, key, record[1:]), nil
}
