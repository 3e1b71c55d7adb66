package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxAuditPrefixes keeps a list of 10,000 from filling a log line.
const maxAuditPrefixes = 20

type consoleMetrics struct {
	actions *prometheus.CounterVec
	denied  *prometheus.CounterVec
	live    prometheus.Gauge
	// open are the web connections, turnedAway those that were closed for want
	// of room.
	open       prometheus.Gauge
	turnedAway prometheus.Counter
}

// Actions are what people order, by the names that they have in the audit log
// and as values of the label action.
func Actions() []string {
	return []string{"block", "unblock", "allow", "disallow", "close_breaker", "flush", "resume", "repair", "reload"}
}

// Why a request was denied: the values of the label cause.
const (
	deniedAuth     = "unauthenticated"
	deniedHost     = "host"
	deniedOrigin   = "cross_origin"
	deniedToken    = "token"
	deniedPassword = "password"
	deniedSlow     = "slowed"
)

func newConsoleMetrics(reg prometheus.Registerer) *consoleMetrics {
	m := &consoleMetrics{
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uppercut_console_actions_total",
			Help: "Actions requested on the page, the command line or the control API; result is done or failed.",
		}, []string{"action", "result"}),
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "uppercut_console_denied_total",
			Help: "Requests that were denied; cause is unauthenticated, host, cross_origin, token, password (a wrong one) or slowed (delayed after wrong ones).",
		}, []string{"cause"}),
		live: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_console_live_pages",
			Help: "Open pages with live updates.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "uppercut_console_connections",
			Help: "Open connections of the web listener.",
		}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "uppercut_console_connections_closed_total",
			Help: "Connections of the web listener that were closed because of its limit, the idle ones first.",
		}),
	}
	for _, a := range Actions() {
		m.actions.WithLabelValues(a, "done")
		m.actions.WithLabelValues(a, "failed")
	}
	for _, cause := range []string{deniedAuth, deniedHost, deniedOrigin, deniedToken, deniedPassword, deniedSlow} {
		m.denied.WithLabelValues(cause)
	}
	if reg != nil {
		reg.MustRegister(m.actions, m.denied, m.live, m.open, m.turnedAway)
	}
	return m
}

// audit records who ordered what, and whether it was done.
func (c *Console) audit(r *http.Request, action string, o Order, err error, more ...any) {
	c.recent.forget()
	who := callerOf(r)
	attrs := append([]any{
		"action", action, "author", o.Author, "via", via(who), "note", Visible(o.Note),
	}, more...)
	if !who.local { // a Unix socket has no address
		attrs = append(attrs, "remote", r.RemoteAddr)
	}
	if len(o.Prefixes) > 0 {
		attrs = append(attrs, "prefixes", joinPrefixes(o.Prefixes), "count", len(o.Prefixes))
	}
	switch {
	case action == "allow" && o.For == 0:
		attrs = append(attrs, "for", "forever")
	case action == "block" && o.For == 0:
		attrs = append(attrs, "for", FormatDuration(ManualBlock))
	case o.For == time.Duration(Forever):
		attrs = append(attrs, "for", "forever")
	case o.For != 0:
		attrs = append(attrs, "for", FormatDuration(o.For))
	}
	if err != nil {
		c.metrics.actions.WithLabelValues(action, "failed").Inc()
		c.audits.Log(context.Background(), slog.LevelWarn, "action failed", append(attrs, "error", err)...)
		return
	}
	c.metrics.actions.WithLabelValues(action, "done").Inc()
	c.audits.Log(context.Background(), slog.LevelInfo, "action", attrs...)
}

func via(c caller) string {
	if c.local {
		return "socket"
	}
	return "web"
}

func joinPrefixes(ps []netip.Prefix) string {
	texts := make([]string, 0, maxAuditPrefixes+1)
	for _, p := range ps[:min(len(ps), maxAuditPrefixes)] {
		texts = append(texts, p.String())
	}
	if len(ps) > maxAuditPrefixes {
		texts = append(texts, "...")
	}
	return strings.Join(texts, " ")
}
