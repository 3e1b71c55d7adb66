package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// results are the measurements of Go benchmarks by name, such as Judge/known,
// and unit, such as ns/op.
type results map[string]map[string]float64

// goBench runs benchmarks of a package of this module.
func (b *bench) goBench(ctx context.Context, pkg, pattern string, args ...string) (results, error) {
	binary, err := b.testBinary(ctx, pkg)
	if err != nil {
		return nil, err
	}
	argv := []string{"-test.run", "^$", "-test.bench", pattern}
	if b.scale < 1 {
		argv = append(argv, "-test.short", "-test.benchtime", "10x")
	}
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, append(argv, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %q: %w: %s%s", pkg, argv, err, tail(out.String()), tail(stderr.String()))
	}
	return parseBench(&out)
}

// testBinary builds the tests of a package, once.
func (b *bench) testBinary(ctx context.Context, pkg string) (string, error) {
	binary := filepath.Join(b.dir, path.Base(pkg)+".test")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the benchmarks of %s: %w: %s", pkg, err, out)
	}
	return binary, nil
}

// parseBench reads what go test -bench prints.
func parseBench(out *bytes.Buffer) (results, error) {
	all := results{}
	reader := benchfmt.NewReader(out, "go test -bench")
	for reader.Scan() {
		result, ok := reader.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		name := string(result.Name.Full())
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i] // GOMAXPROCS
		}
		all[name] = map[string]float64{}
		for _, v := range result.Values {
			if v.OrigUnit != "" {
				v.Value, v.Unit = v.OrigValue, v.OrigUnit
			}
			all[name][v.Unit] = v.Value
		}
	}
	return all, reader.Err()
}

// value returns a measurement that must be there.
func (r results) value(name, unit string) (float64, error) {
	v, ok := r[name][unit]
	if !ok {
		return 0, fmt.Errorf("benchmark %s has no %s: %v", name, unit, r)
	}
	return v, nil
}

// packetsRow is a contest of what a packet costs that nobody wants to drop.
func packetsRow(b *bench) (*contest, error) {
	c := &contest{name: "packets", title: "What a packet of somebody innocent costs at the gateway", limit: 3}
	for _, who := range []struct{ bench, name string }{
		{"sets", "through uppercut's sets, a million blocks"},
		{"rules", "through the ancestor's rules, 30,000 addresses"},
		{"none", "nothing in the way"},
	} {
		c.contestants = append(c.contestants, contestant{name: who.name, run: func(ctx context.Context) ([]measure, error) {
			r, err := b.goBench(ctx, "uppercut/enforcer", "^BenchmarkPacketCost$/^"+who.bench+"$")
			if err != nil {
				return nil, err
			}
			ns, err := r.value("PacketCost/"+who.bench, "ns/op")
			return []measure{{"µs a packet", ns / 1e3, 1}}, err
		}})
	}
	return c, nil
}

// minSources is the least that the detector can be told to track.
const minSources = 1000

// sourcesRow measures what it costs to keep an eye on many sources.
func sourcesRow(b *bench) (*contest, error) {
	n := max(minSources, b.count(5_000_000))
	return &contest{
		name: "sources", limit: 3,
		title: fmt.Sprintf("%s tracked sources", number(float64(n), 0)),
		contestants: []contestant{
			{name: "uppercut, an offence each", run: func(ctx context.Context) ([]measure, error) { return b.judge(ctx, n) }},
			{name: "uppercut, 20 offences each", run: func(ctx context.Context) ([]measure, error) { return b.filled(ctx, n) }},
		},
	}, nil
}

// judge measures an offence when n sources have offended once.
func (b *bench) judge(ctx context.Context, n int) ([]measure, error) {
	r, err := b.goBench(ctx, "uppercut/detector", "^Benchmark(Judge|MemoryLatency)$", "-tracked", strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	each, err := r.value("Judge/known", "B/source")
	if err != nil {
		return nil, err
	}
	measures := []measure{{"MB", each * float64(n) / 1e6, 0}, {"bytes a source", each, 0}}
	for _, m := range []struct{ benchmark, title string }{
		{"Judge/known", "ns, known source"},
		{"Judge/new", "ns, new source"},
		{"Judge/blocked", "ns, blocked source"},
		{"MemoryLatency", "ns, one read from memory"},
	} {
		ns, err := r.value(m.benchmark, "ns/op")
		if err != nil {
			return nil, err
		}
		measures = append(measures, measure{m.title, ns, 0})
	}
	return measures, nil
}

// filled measures the memory of n sources that have offended often, as an
// attacker could make them.
func (b *bench) filled(ctx context.Context, n int) ([]measure, error) {
	r, err := b.goBench(ctx, "uppercut/detector", "^BenchmarkMemory$", "-tracked", strconv.Itoa(n), "-test.benchtime", "1x")
	if err != nil {
		return nil, err
	}
	each, err := r.value("Memory", "B/source")
	return []measure{{"MB", each * float64(n) / 1e6, 0}, {"bytes a source", each, 0}}, err
}
