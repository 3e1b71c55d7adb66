package appliance

import (
	"io"
	"log/slog"

	"uppercut/cmd/uppercut/console"
)

// logHandler writes text or JSON to w.
func logHandler(asJSON bool, w io.Writer, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if !asJSON {
		return slog.NewTextHandler(w, options)
	}
	options.ReplaceAttr = visibleAttr // JSON escapes controls, but not marks that turn text around
	return slog.NewJSONHandler(w, options)
}

// tellDropped returns what says, as text or JSON, that lines were dropped.
func tellDropped(asJSON bool) func(out io.Writer, lines uint64) {
	return func(out io.Writer, lines uint64) {
		slog.New(logHandler(asJSON, out, slog.LevelWarn)).Warn("log lines were dropped: standard error was not read", "lines", lines)
	}
}

// visibleAttr makes visible what must not reach a screen: hosts and notes are
// the text of others.
func visibleAttr(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case string:
		a.Value = slog.StringValue(console.Visible(v))
	case error:
		a.Value = slog.StringValue(console.Visible(v.Error()))
	}
	return a
}
