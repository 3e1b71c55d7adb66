package metrics

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Build says what was built from what.
type Build struct {
	// Version is the released version, or the pseudo-version that the go
	// command derives from the commit; "(devel)" outside version control.
	Version string
	// Revision is the commit, with "-modified" appended if the tree was not
	// clean; "unknown" outside version control.
	Revision string
	// Tags are the build tags, joined by commas.
	Tags string
}

// ReadBuild returns what the go command recorded in the running binary.
// version, if not empty, is what the linker was told and wins.
func ReadBuild(version string) Build {
	b := Build{Version: "(devel)", Revision: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = buildOf(info)
	}
	if version != "" {
		b.Version = version
	}
	return b
}

func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: info.Main.Version, Revision: "unknown"}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		case "-tags":
			b.Tags = s.Value
		}
	}
	if modified {
		b.Revision += "-modified"
	}
	return b
}

func (b Build) collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "uppercut_build_info",
		Help: "Build metadata; the value is always 1.",
		ConstLabels: prometheus.Labels{
			"version": b.Version, "revision": b.Revision, "tags": b.Tags,
			"goversion": runtime.Version(), "goos": runtime.GOOS, "goarch": runtime.GOARCH,
		},
	}, func() float64 { return 1 })
}
