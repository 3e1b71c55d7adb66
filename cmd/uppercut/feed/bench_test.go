package feed

import (
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// crowd is a feed of 100,000 blocks, a fifth of them IPv6 networks, with 50
// clients.
func crowd(b *testing.B) (r *rig, clients []*bouncer, entries []Entry) {
	const blocks, many = 100_000, 50
	for i := range blocks {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if i%5 == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
		}
		entries = append(entries, Entry{ID: uint64(i + 1), Prefix: p, Until: time.Now().Add(time.Hour), Rule: "burst"})
	}
	r = start(b, func(c *Config) {
		c.Clients = nil
		for i := range many {
			c.Clients = append(c.Clients, ClientConfig{Name: "c" + strconv.Itoa(i), KeyFile: keyFile(b, testKey+strconv.Itoa(i))})
		}
	}, entries...)
	for i := range many {
		one := r.bouncer()
		one.key += strconv.Itoa(i)
		clients = append(clients, one)
	}
	return r, clients, entries
}

// all asks for each client at once and returns the bytes that came.
func all(b *testing.B, clients []*bouncer, path string) (bytes int64) {
	var running sync.WaitGroup
	sizes := make([]int64, len(clients))
	for i, c := range clients {
		running.Go(func() {
			req, _ := http.NewRequest("GET", c.r.url+path, http.NoBody)
			req.Header.Set("X-Api-Key", c.key)
			resp, err := c.client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			defer resp.Body.Close()
			sizes[i], err = io.Copy(io.Discard, resp.Body)
			if err != nil || resp.StatusCode != 200 {
				b.Error(resp.Status, err)
			}
		})
	}
	running.Wait()
	for _, n := range sizes {
		bytes += n
	}
	return bytes
}

// BenchmarkWhole: all clients start at once.
func BenchmarkWhole(b *testing.B) {
	r, clients, _ := crowd(b)
	var bytes int64
	for b.Loop() {
		for _, c := range r.clients.Load().all {
			c.pace.whole = bucket{}
		}
		bytes += all(b, clients, "/v1/decisions/stream?startup=true")
	}
	b.ReportMetric(float64(bytes)/float64(b.N*len(clients))/1e6, "MB/client")
}

// BenchmarkChanges: all clients ask after ten blocks have begun and ten ended.
func BenchmarkChanges(b *testing.B) {
	r, clients, entries := crowd(b)
	all(b, clients, "/v1/decisions/stream?startup=true")
	for b.Loop() {
		now := time.Now()
		for i := range 10 {
			r.mirror.remove(entries[i].Prefix, now)
			r.mirror.put(entries[i])
		}
		all(b, clients, "/v1/decisions/stream")
	}
}

// BenchmarkFollow: the copy is compared with a list of 100,000.
func BenchmarkFollow(b *testing.B) {
	r, _, entries := crowd(b)
	for b.Loop() {
		r.mirror.replace(slices.Values(entries), time.Now())
	}
}

// BenchmarkAsk: one address is asked for.
func BenchmarkAsk(b *testing.B) {
	r, _, entries := crowd(b)
	for b.Loop() {
		if len(r.mirror.covering(entries[77].Prefix)) != 1 {
			b.Fatal("not found")
		}
	}
}
