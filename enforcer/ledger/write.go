package ledger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
)

// Commit writes b and returns when it is on the disk.
func (l *Ledger) Commit(b Batch) error {
	err := sound(func() error {
		return l.db.Update(func(tx *bbolt.Tx) error {
			t, err := readTallies(tx)
			if err != nil {
				return err
			}
			return errors.Join(
				writeBlocks(t.writer(tx, bucketBlocks), b, &t.lastID),
				l.writeHistory(t.writer(tx, bucketHistory), b, &t.lastID),
				writeAllow(t.writer(tx, bucketAllow), b),
				l.writeAudit(t.writer(tx, bucketAudit), b.Audit),
				writeTallies(tx, t),
			)
		})
	})
	if err != nil {
		return fmt.Errorf("write ledger: %w", classify(err))
	}
	return nil
}

func writeBlocks(w writer, b Batch, last *uint64) error {
	for _, p := range b.Delete {
		if err := w.delete(keyOf(p)); err != nil {
			return fmt.Errorf("delete block of %v: %w", p, err)
		}
	}
	// Neighbours share pages.
	slices.SortFunc(b.Put, func(x, y Block) int { return bytes.Compare(keyOf(x.Prefix), keyOf(y.Prefix)) })
	for i := range b.Put {
		*last = max(*last, b.Put[i].ID)
		if err := w.put(keyOf(b.Put[i].Prefix), b.Put[i].encode()); err != nil {
			return fmt.Errorf("put block of %v: %w", b.Put[i].Prefix, err)
		}
	}
	return nil
}

// writeHistory keeps the blocks with the highest IDs.
func (l *Ledger) writeHistory(w writer, b Batch, last *uint64) error {
	for _, past := range b.Past {
		*last = max(*last, past.ID)
	}
	for _, block := range slices.Concat(b.Put, b.Past) {
		if block.ID+l.options.History <= *last {
			continue
		}
		if err := w.putHistory(block); err != nil {
			return err
		}
	}
	for _, end := range b.Ends {
		if err := w.end(end); err != nil {
			return err
		}
	}
	return w.trim(*last, l.options.History)
}

func (w writer) putHistory(b Block) error {
	if b.Detail == nil { // a block that goes on: what led to it stays
		if old, ok := w.history(b.ID); ok {
			b.Detail = old.Detail
		}
	}
	payload, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode block of %v: %w", b.Prefix, err)
	}
	if err := w.put(idKey(b.ID), payload); err != nil {
		return fmt.Errorf("put history of %v: %w", b.Prefix, err)
	}
	return nil
}

// history returns what is kept of a block. What cannot be read must not keep
// others from being saved.
func (w writer) history(id uint64) (b Block, ok bool) {
	payload, err := w.get(idKey(id))
	if err != nil || payload == nil || json.Unmarshal(payload, &b) != nil {
		return b, false
	}
	return b, true
}

func (w writer) end(e End) error {
	b, ok := w.history(e.ID)
	if !ok {
		return nil
	}
	b.End = e
	return w.putHistory(b)
}

func writeAllow(w writer, b Batch) error {
	for _, p := range b.Disallow {
		if err := w.delete(keyOf(p)); err != nil {
			return fmt.Errorf("delete allow entry of %v: %w", p, err)
		}
	}
	for _, a := range b.Allow {
		payload, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode allow entry of %v: %w", a.Prefix, err)
		}
		if err := w.put(keyOf(a.Prefix), payload); err != nil {
			return fmt.Errorf("put allow entry of %v: %w", a.Prefix, err)
		}
	}
	return nil
}

func (l *Ledger) writeAudit(w writer, entries []Audit) error {
	last := uint64(0)
	if k, _ := w.bucket.Cursor().Last(); len(k) == 8 {
		last = binary.BigEndian.Uint64(k)
	}
	for _, a := range entries {
		payload, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("encode audit entry: %w", err)
		}
		last++
		if err := w.put(idKey(last), payload); err != nil {
			return fmt.Errorf("put audit entry: %w", err)
		}
	}
	return w.trim(last, l.options.Audit)
}

// trim deletes what is keep or more numbers older than last.
func (w writer) trim(last, keep uint64) error {
	if last <= keep {
		return nil
	}
	var old [][]byte // deleting under a cursor would make it look at each page that is empty by then
	c := w.bucket.Cursor()
	for k, _ := c.First(); len(k) == 8 && binary.BigEndian.Uint64(k) <= last-keep; k, _ = c.Next() {
		old = append(old, k)
	}
	for _, k := range old {
		if err := w.delete(k); err != nil {
			return fmt.Errorf("trim: %w", err)
		}
	}
	return nil
}
