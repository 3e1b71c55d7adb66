// Package metrics owns the Prometheus registry, the /metrics handler and
// health. The metrics themselves belong to the packages that count.
package metrics
