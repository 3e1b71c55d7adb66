// Package metrics owns the Prometheus registry, the /metrics handler and
// health. The metrics of a package belong to that package, which takes the
// Registry as a prometheus.Registerer; here are only those of the process as a
// whole: build, mode, configuration, log lines and readiness.
//
// Everything here is safe for concurrent use, and nothing starts a goroutine.
package metrics
