package detector

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// contactModel is contacts without counts by second: each look is at all of them.
type contactModel struct {
	all    map[uint64]contact
	latest uint32
}

func (m *contactModel) change(key uint64, second uint32, change func(*contact, uint32)) {
	if m.latest = max(m.latest, second); m.latest-second >= breakerWindow {
		return
	}
	c, known := m.all[key]
	if !known && len(m.all) >= maxContacts {
		if m.prune(); len(m.all) >= maxContacts {
			return
		}
	}
	change(&c, second)
	m.all[key] = c
}

func (m *contactModel) prune() {
	maps.DeleteFunc(m.all, func(_ uint64, c contact) bool { return m.latest-c.heard() >= breakerWindow })
}

func (m *contactModel) refused() (n int) {
	for _, c := range m.all {
		n += c.refusals()
	}
	return n
}

// TestContactsModel: counts by second know the same as a look at every contact,
// whether they come fast or slowly, late, or too many.
func TestContactsModel(t *testing.T) {
	for _, keys := range []int{50, 500, maxContacts + 500} {
		random := rand.New(rand.NewPCG(uint64(keys), 1))
		var counted contacts
		plain := contactModel{all: map[uint64]contact{}}
		second := uint32(1_700_000_000)
		for n := range 30_000 {
			switch random.IntN(200) {
			case 0:
				second += uint32(random.IntN(2 * breakerWindow))
			case 1, 2, 3:
				second++
			case 4:
				counted.prune()
				plain.prune()
			}
			change := (*contact).accept
			if random.IntN(4) == 0 {
				change = (*contact).refuse
			}
			key, at := uint64(random.IntN(keys)), second-uint32(random.IntN(4)*random.IntN(120))
			counted.change(key, at, change)
			plain.change(key, at, change)
			if counted.count != len(plain.all) || n%100 == 0 && counted.refused != plain.refused() {
				t.Fatalf("%d keys, step %d: %d contacts, %d refused; want %d, %d", keys, n,
					counted.count, counted.refused, len(plain.all), plain.refused())
			}
			if n%1000 == 0 && !maps.Equal(counted.all(), plain.all) {
				t.Fatalf("%d keys, step %d: other contacts", keys, n)
			}
		}
	}
}

// TestForgottenContactsGoFromTheMap: memory is bounded by those that are known.
func TestForgottenContactsGoFromTheMap(t *testing.T) {
	var c contacts
	for n := range uint32(50_000) {
		c.change(uint64(n), 1_700_000_000+n, (*contact).accept)
		c.prune()
	}
	if n := len(c.byHash); n > 2*(breakerWindow+fewContacts) {
		t.Errorf("%d contacts in the map, %d of them known", n, c.count)
	}
}
