package sendmail

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"
)

// TestSessionsModel: the table is the same as a map, and its queues are lists,
// whatever comes and goes.
func TestSessionsModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	table := newSessions()
	keys := map[uint64]uint64{} // number by key
	queues := queueModel{order: map[HostKey][]uint64{}, spoken: map[uint64]bool{}}
	for n := range uint64(30_000) {
		key, host := uint64(1+random.IntN(700))*0x9e3779b97f4a7c15, HostKey(1+random.IntN(5))
		s := table.find(key)
		if number, known := keys[key]; known != (s != nil) || known && s.number != number {
			t.Fatalf("step %d: key %d is %+v, want number %d", n, key, s, number)
		}
		switch what := random.IntN(4); {
		case s == nil:
			s = table.add(key, table.queueOf(host))
			s.number, keys[key] = n, n
			queues.order[host] = append(queues.order[host], key)
		case what == 0:
			table.remove(s)
			delete(keys, key)
			queues.leave(key)
		case what == 1:
			got, want := table.oldest(table.byHost[host]), queues.oldest(host)
			if (got == 0) != (want == 0) || got != 0 && table.at(got).key != want {
				t.Fatalf("step %d: the oldest is at %d, want %d", n, got, want)
			}
		default:
			table.touch(s, 0)
			queues.spoken[key] = true
		}
		if n%1000 == 0 {
			checkSessions(t, &table)
			checkOrder(t, &table, queues.order)
		}
	}
	if got := table.count; got != len(keys) {
		t.Errorf("%d sessions, want %d", got, len(keys))
	}
}

// queueModel is the queues of hosts as lists of keys.
type queueModel struct {
	order  map[HostKey][]uint64
	spoken map[uint64]bool
}

func (m *queueModel) leave(key uint64) {
	delete(m.spoken, key)
	for host, list := range m.order {
		m.order[host] = slices.DeleteFunc(list, func(k uint64) bool { return k == key })
	}
}

func (m *queueModel) oldest(host HostKey) uint64 {
	list := m.order[host]
	if len(list) == 0 {
		return 0
	}
	for range secondChances {
		first := list[0]
		if !m.spoken[first] {
			break
		}
		delete(m.spoken, first)
		list = append(list[1:], first)
	}
	m.order[host] = list
	return list[0]
}

func checkOrder(t *testing.T, table *sessions, order map[HostKey][]uint64) {
	t.Helper()
	for host, list := range order {
		places := placesOf(table, table.byHost[host])
		keys := make([]uint64, len(places))
		for i, p := range places {
			keys[i] = table.at(p).key
		}
		if !slices.Equal(keys, list) {
			t.Fatalf("host %d: keys %d, want %d", host, keys, list)
		}
	}
}

// placesOf returns the sessions of a queue, the oldest first.
func placesOf(table *sessions, q place) (places []place) {
	l := &table.queues[q].order
	for at := l.head; at != l.tail; at++ {
		if p := l.ring[at&uint32(len(l.ring)-1)]; p != 0 {
			places = append(places, p)
		}
	}
	return places
}

// checkSessions sees that every session of a queue is found by its key, and
// that there are no others; that no queue is empty; and that extras belong to
// one session, with something in them, or are free.
func checkSessions(t *testing.T, table *sessions) {
	t.Helper()
	found := 0
	owner := map[place]place{}
	for q := range maps.Values(table.byHost) {
		places := placesOf(table, q)
		for _, p := range places {
			s := table.at(p)
			if s.queue != q || s.place != p || table.find(s.key) != s {
				t.Fatalf("place %d of queue %d: %+v", p, q, s)
			}
			if s.extras != 0 {
				x := &table.waiting[s.extras]
				if owner[s.extras] != 0 || !x.likely.IsValid() && len(x.held)+len(x.accepted) == 0 {
					t.Fatalf("extras %d of places %d and %d: %+v", s.extras, owner[s.extras], p, x)
				}
				owner[s.extras] = p
			}
			found++
		}
		if l := &table.queues[q].order; len(places) == 0 || l.count != len(places) || l.tail-l.head > uint32(len(l.ring)) {
			t.Fatalf("queue %d: %d sessions, counted as %d in %d to %d of %d", q, len(places), l.count, l.head, l.tail, len(l.ring))
		}
	}
	if found != table.count {
		t.Fatalf("%d sessions in queues, counted as %d", found, table.count)
	}
	free := 0
	for x := table.freeWaiting; x != 0; x = table.waiting[x].free {
		free++
	}
	if free+len(owner)+1 != len(table.waiting) {
		t.Fatalf("%d extras are free and %d in use, of %d", free, len(owner), len(table.waiting)-1)
	}
}

func TestSessionSize(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 64 {
		t.Errorf("a session takes %d bytes", n)
	}
}
