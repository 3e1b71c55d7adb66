package metrics

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// CountLogs returns a handler that counts each line by level and gives it to
// next. Lines that next has disabled are not counted.
func CountLogs(next slog.Handler, reg prometheus.Registerer) slog.Handler {
	lines := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "uppercut_log_messages_total",
		Help: "Log lines written by the appliance itself.",
	}, []string{"level"})
	for _, level := range []string{"debug", "info", "warn", "error"} {
		lines.WithLabelValues(level)
	}
	register(reg, lines)
	return &logCounter{next, lines}
}

type logCounter struct {
	slog.Handler
	lines *prometheus.CounterVec
}

func (c *logCounter) Handle(ctx context.Context, r slog.Record) error {
	c.lines.WithLabelValues(levelName(r.Level)).Inc()
	return c.Handler.Handle(ctx, r)
}

func (c *logCounter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logCounter{c.Handler.WithAttrs(attrs), c.lines}
}

func (c *logCounter) WithGroup(name string) slog.Handler {
	return &logCounter{c.Handler.WithGroup(name), c.lines}
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}
