package nft

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Firewall writes and reads our table.
type Firewall struct {
	config Config
	write  *socket // transactions
	read   *socket // questions
	// expected is the layout as the kernel showed it right after we made it;
	// guarded by write.mu, as is generation.
	expected   Layout
	generation uint32
	touched    bool     // by others, since Replace
	placed     []string // devices of the ingress chain, as we put it there
	watcher    *Watcher // to be told of a new port
	tally      tally
}

// Drops is what one family's rules have dropped.
type Drops struct{ Packets, Bytes uint64 }

// Refusal is an element that the kernel does not take.
type Refusal struct {
	Element
	Err error
}

// Open opens the sockets. It needs no privilege and changes nothing.
func Open(c Config) (*Firewall, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	write, err := dial(c.NetNS)
	if err != nil {
		return nil, err
	}
	read, err := dial(c.NetNS)
	if err != nil {
		return nil, errors.Join(err, write.close())
	}
	return &Firewall{config: c, write: write, read: read}, nil
}

// Close closes the sockets and leaves the kernel's objects as they are.
func (f *Firewall) Close() error { return errors.Join(f.write.close(), f.read.close()) }

// Reopen replaces the sockets. A Watcher goes on.
func (f *Firewall) Reopen() error {
	fresh, err := Open(f.config)
	if err != nil {
		return err
	}
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	f.read.mu.Lock()
	defer f.read.mu.Unlock()
	f.write.take(fresh.write)
	f.read.take(fresh.read)
	if f.watcher == nil {
		return nil
	}
	return f.watcher.socket.filterPort(f.Port())
}

// Config returns what Open was given.
func (f *Firewall) Config() Config { return f.config }

// Port is the netlink port that our transactions come from.
func (f *Firewall) Port() uint32 { return f.write.conn.PID() }

// Replace makes the table anew with these elements, in one transaction: at no
// time is less in force than before or after. The counters go on from the
// totals. A kernel without the memory for so large a transaction gets the
// layout first and the elements in pieces.
//
// It returns os.ErrPermission without CAP_NET_ADMIN.
func (f *Firewall) Replace(elems iter.Seq[Element]) error {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	f.touched = true // until it is known that nobody did
	for range 3 {
		before, err := f.write.generation()
		if err != nil {
			return err
		}
		ours := f.write.commits
		if err := f.replace(elems); err != nil {
			return err
		}
		layout, err := f.write.layout(f.config)
		if err != nil {
			return err
		}
		f.expected = layout
		if f.generation, err = f.write.generation(); err != nil {
			return err
		}
		if f.generation == before+f.write.commits-ours {
			f.touched = false // nobody else wrote while we did: what we saw is ours
			return nil
		}
	}
	return nil
}

func (f *Firewall) replace(elems iter.Seq[Element]) error {
	counters, err := f.write.drops()
	if err != nil {
		return err
	}
	_, ingress, err := f.look()
	if err != nil {
		return err
	}
	f.placed = ingress.devices
	drops := f.tally.beginWrite(counters)
	err = f.replaceAll(drops, ingress, elems)
	if len(ingress.devices) > 0 && refusesHook(err) {
		err = f.replaceAll(drops, hook{}, elems) // Follow says what is wrong with it
	}
	f.tally.endWrite(err == nil)
	return err
}

// replaceAll sends all as one transaction, if the kernel has the memory.
func (f *Firewall) replaceAll(drops [2]Drops, ingress hook, elems iter.Seq[Element]) error {
	b := newBulk(f.config)
	b.addAll(elems)
	err := f.replaceWith(drops, ingress, b.buffers())
	if tooLarge(err) {
		return f.replaceInPieces(drops, ingress, elems)
	}
	return err
}

// replaceWith sends layout and elements as one transaction.
func (f *Firewall) replaceWith(drops [2]Drops, ingress hook, elements [][]byte) error {
	e := &f.write.enc
	e.reset()
	e.beginBatch()
	if err := f.config.encodeLayout(e, drops, ingress); err != nil {
		return err
	}
	head := len(e.buf)
	// The table is there by now: this only carries the acknowledgement.
	encodeTable(e, unix.NFT_MSG_NEWTABLE)
	e.askLast(head)
	e.endBatch()
	bufs := append([][]byte{e.buf[:head]}, elements...)
	return f.write.commit(append(bufs, e.buf[head:])...)
}

// replaceInPieces is for a kernel without the memory for one transaction.
func (f *Firewall) replaceInPieces(drops [2]Drops, ingress hook, elems iter.Seq[Element]) error {
	if err := f.transact(func() error { return f.config.encodeLayout(&f.write.enc, drops, ingress) }); err != nil {
		return err
	}
	var sets [len(Sets)][]Element
	flush := func(i int) error {
		err := f.transact(func() error {
			encodeElements(&f.write.enc, unix.NFT_MSG_NEWSETELEM, f.config.sets()[i], sets[i])
			return nil
		})
		sets[i] = sets[i][:0]
		return err
	}
	for el := range elems {
		i := f.config.SetIndex(el.Prefix)
		if sets[i] = append(sets[i], el); len(sets[i]) == maxInterval {
			if err := flush(i); err != nil {
				return err
			}
		}
	}
	for i := range sets {
		if err := flush(i); err != nil {
			return err
		}
	}
	return nil
}

// Apply sets elements and their remaining time, or removes those without a
// timeout, whether they are there or not; at most MaxBatch. It is one
// transaction, or several when the kernel refuses one: then those that it
// refuses alone are returned, and the rest is in force. An error means that
// nothing can be said of any of them.
//
// In an interval set, what is removed makes room for what is set.
func (f *Firewall) Apply(elems []Element) ([]Refusal, error) {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	slices.SortStableFunc(elems, func(a, b Element) int { return rank(a) - rank(b) })
	return f.apply(elems)
}

func rank(e Element) int {
	if e.Timeout <= 0 {
		return 0
	}
	return 1
}

func (f *Firewall) apply(elems []Element) ([]Refusal, error) {
	if len(elems) == 0 {
		return nil, nil
	}
	err := f.change(elems)
	switch {
	case err == nil:
		return nil, nil
	case !refusesElement(err) && !tooLarge(err):
		return nil, err
	case len(elems) == 1:
		return []Refusal{{elems[0], err}}, nil
	}
	half := len(elems) / 2
	first, err := f.apply(elems[:half])
	if err != nil {
		return nil, err
	}
	second, err := f.apply(elems[half:])
	return append(first, second...), err
}

// change is one transaction, tried again where the kernel's no is of the moment.
func (f *Firewall) change(elems []Element) error {
	set, gone := f.partition(elems)
	return retry(func() error {
		present, err := f.present(elems)
		if err != nil {
			return err
		}
		ours := f.write.commits
		err = f.transact(func() error { f.encodeChanges(set, gone, present); return nil })
		f.generation += f.write.commits - ours // none if there was nothing to say
		return err
	})
}

// busyFor is how long a set that is busy is asked again. A rehash takes less
// than a millisecond; its worker can be kept from running for longer.
const busyFor = time.Second

// retry repeats a transaction that met what passes: once on ENOENT, an interval
// that ran out between being asked for and being deleted; for busyFor on EBUSY,
// with which a hash set answers while one rehash of it waits for another
// (rhashtable_insert_rehash, lib/rhashtable.c of Linux 6.18; seen when dozens of
// elements of one key had run out and the kernel's worker was starved).
func retry(transact func() error) error {
	giveUp := time.Now().Add(busyFor)
	vanished := false
	for pause := time.Millisecond; ; pause *= 2 {
		err := transact()
		switch {
		case errors.Is(err, unix.ENOENT) && !vanished:
			vanished = true
		case errors.Is(err, unix.EBUSY) && time.Now().Before(giveUp):
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// present returns the intervals among elems that the kernel has. Hash sets
// need not be asked, see encodeChanges. Where one that goes and one that comes
// start at the same address, it is the former that is there.
func (f *Firewall) present(elems []Element) (present [4][]Element, err error) {
	var ps []netip.Prefix
	starts := map[netip.Addr]bool{}
	for _, el := range elems { // those that go come first
		if f.config.SetIndex(el.Prefix) >= firstInterval && !starts[el.Prefix.Addr()] {
			starts[el.Prefix.Addr()] = true
			ps = append(ps, el.Prefix)
		}
	}
	for chunk := range slices.Chunk(ps, maxAsked) {
		found, err := f.write.ask(func(p netip.Prefix) string { return Sets[f.config.SetIndex(p)] }, chunk)
		if err != nil {
			return present, err
		}
		for i, p := range chunk {
			if found[i].Left > 0 {
				set := f.config.SetIndex(p)
				present[set] = append(present[set], Element{Prefix: p})
			}
		}
	}
	return present, nil
}

// encodeChanges refreshes elements by adding, deleting and adding: adding one
// that is there does not move its timeout before Linux 6.12, deleting one that
// is not there fails the batch, and either can change while we speak. An
// interval set does not take that (its tree confuses the generations of one
// key), so there what is known to be present goes, and then the new comes.
func (f *Firewall) encodeChanges(set, gone, present [4][]Element) {
	e := &f.write.enc
	sets := f.config.sets()
	for i := range firstInterval {
		for _, elems := range [][]Element{gone[i], set[i]} {
			encodeElements(e, unix.NFT_MSG_NEWSETELEM, sets[i], elems)
			encodeElements(e, unix.NFT_MSG_DELSETELEM, sets[i], elems)
		}
		encodeElements(e, unix.NFT_MSG_NEWSETELEM, sets[i], set[i])
	}
	for i := firstInterval; i < len(Sets); i++ {
		encodeElements(e, unix.NFT_MSG_DELSETELEM, sets[i], present[i])
		encodeElements(e, unix.NFT_MSG_NEWSETELEM, sets[i], set[i])
	}
	for i, knock := range f.config.knocks() {
		encodeElements(e, unix.NFT_MSG_NEWSETELEM, knock, gone[i])
		encodeElements(e, unix.NFT_MSG_DELSETELEM, knock, gone[i])
	}
}

func (f *Firewall) partition(elems []Element) (set, gone [4][]Element) {
	for _, el := range elems {
		i := f.config.SetIndex(el.Prefix)
		if el.Timeout > 0 {
			set[i] = append(set[i], el)
		} else {
			gone[i] = append(gone[i], el)
		}
	}
	return set, gone
}

// transact sends one batch. The caller holds write.mu.
func (f *Firewall) transact(encode func() error) error {
	e := &f.write.enc
	e.reset()
	e.beginBatch()
	if err := encode(); err != nil {
		return err
	}
	if !e.askLast(0) {
		return nil // nothing to say
	}
	e.endBatch()
	return f.write.commit(e.buf)
}

// Remove removes our table and nothing else.
func (f *Firewall) Remove() error {
	f.write.mu.Lock()
	defer f.write.mu.Unlock()
	err := f.transact(func() error {
		encodeTable(&f.write.enc, unix.NFT_MSG_NEWTABLE)
		encodeTable(&f.write.enc, unix.NFT_MSG_DELTABLE)
		return nil
	})
	f.expected = Layout{}
	return err
}

// Drops reads the counters and returns the totals: what was dropped since the
// table was first made, also by tables and counters that others have removed or
// reset since, as far as it was read before.
func (f *Firewall) Drops() ([2]Drops, error) {
	f.read.mu.Lock()
	defer f.read.mu.Unlock()
	begun := f.tally.begin()
	counters, err := f.read.drops()
	if err != nil {
		return counters, err
	}
	return f.tally.saw(begun, counters), nil
}

// Standing is what the kernel says of one element.
type Standing struct {
	// Left is the time that it has left, very long without an end, 0 if it is
	// not in force.
	Left time.Duration
	// Drops is what it has dropped, with Config.ElementCounters.
	Drops Drops
}

// Ask asks for single elements, in order. It costs a look-up an element.
func (f *Firewall) Ask(ps []netip.Prefix) ([]Standing, error) {
	return f.askIn(ps, func(p netip.Prefix) string { return Sets[f.config.SetIndex(p)] })
}

// AskKnocks asks for elements of the sets of those that knock. It needs
// Config.Extend, and prefixes of the hash sets.
func (f *Firewall) AskKnocks(ps []netip.Prefix) ([]Standing, error) {
	knocks := f.config.knocks()
	return f.askIn(ps, func(p netip.Prefix) string { return knocks[f.config.SetIndex(p)].name })
}

func (f *Firewall) askIn(ps []netip.Prefix, set func(netip.Prefix) string) ([]Standing, error) {
	f.read.mu.Lock()
	defer f.read.mu.Unlock()
	found := make([]Standing, 0, len(ps))
	for chunk := range slices.Chunk(ps, maxAsked) {
		got, err := f.read.ask(set, chunk)
		if err != nil {
			return nil, err
		}
		found = append(found, got...)
	}
	return found, nil
}

// refusesElement reports whether the kernel found fault with an element, not
// with us or itself.
func refusesElement(err error) bool {
	for _, e := range []unix.Errno{unix.EINVAL, unix.EEXIST, unix.ENFILE, unix.ENOSPC, unix.ERANGE, unix.EOPNOTSUPP, unix.E2BIG} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Full reports whether err is the kernel's refusal to put more into a set.
func Full(err error) bool { return errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOSPC) }

func tooLarge(err error) bool {
	return errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
