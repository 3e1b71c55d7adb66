package console

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// webHandler is what the web listener serves.
func (c *Console) webHandler() http.Handler {
	private := http.NewServeMux()
	private.Handle(apiRoot+"/", c.api())
	private.HandleFunc("POST /-/reload", c.serveReload)
	c.addPages(private)

	public := http.NewServeMux()
	public.Handle("GET /metrics", c.scrapes)
	public.HandleFunc("GET /-/healthy", c.ready.ServeHealthy)
	public.HandleFunc("GET /-/ready", c.ready.ServeReady)
	public.Handle("/", c.guard(private))
	return withHeaders(c.withKnownHost(public))
}

// withHeaders sets what every answer carries, and by when it must be taken.
// Scripts and styles come from us or not at all.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
				"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // a test's recorder has none
		next.ServeHTTP(w, r)
	})
}

// withKnownHost refuses who asks for another host, whatever is asked for: the
// names of mail hosts stand in /metrics, too.
func (c *Console) withKnownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.knowsHost(r.Host) {
			c.deny(w, r, deniedHost, "This is not a name of this machine; web.hosts lists others.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guard refuses foreign origins and finds out who calls.
func (c *Console) guard(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.deny(w, r, deniedOrigin, "This request comes from a page of another site.")
	}))
	identified := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, withCaller(r, c.webCaller(r)))
	})
	return sameOrigin.Handler(identified)
}

func (c *Console) deny(w http.ResponseWriter, r *http.Request, cause, sentence string) {
	c.metrics.denied.WithLabelValues(cause).Inc()
	c.logger.Debug("request denied", "cause", cause, "remote", r.RemoteAddr)
	http.Error(w, sentence, http.StatusForbidden)
}

// knowsHost says whether a Host header names us. A foreign name that resolves
// to our address would let its owner's pages read ours (DNS rebinding); an
// address cannot be foreign.
func (c *Console) knowsHost(header string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" || host == "localhost" {
		return true // a zone is text of whoever chose the name
	}
	return slices.ContainsFunc(c.ownNames(), func(name string) bool { return strings.EqualFold(name, host) })
}

func (c *Console) ownNames() []string {
	names := slices.Clone(c.config.Hosts)
	if h, _, err := net.SplitHostPort(c.config.Listen); err == nil && h != "" {
		names = append(names, h)
	}
	if h, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(h, ".")
		names = append(names, h, short)
	}
	return names
}

// webCaller is who sends r over the web listener. Evidence and actions need a
// user, and a connection that nobody can read along.
func (c *Console) webCaller(r *http.Request) caller {
	name, ok := c.users.authenticate(r)
	if !ok {
		return caller{}
	}
	return caller{name: name, trusted: r.TLS != nil || onThisMachine(r), reader: slices.Contains(c.config.Readers, name)}
}

// onThisMachine says whether both ends of the connection are loopback
// addresses.
func onThisMachine(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local == nil {
		return false
	}
	return isLoopback(local.String()) && isLoopback(r.RemoteAddr)
}

func isLoopback(hostport string) bool {
	ap, err := netip.ParseAddrPort(hostport)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// untrustedReason says to a caller why it may not.
func untrustedReason(r *http.Request) string {
	switch who := callerOf(r); {
	case who.trusted && who.reader:
		return "not for users who only read (web.readers)"
	case who.name != "":
		return "not over plain HTTP from another machine: give the web configuration file a certificate"
	}
	return "only for users of the web configuration file (--web.config.file), or on the control socket"
}

// serveReload loads the configuration again, as SIGHUP does.
func (c *Console) serveReload(w http.ResponseWriter, r *http.Request) {
	if !callerOf(r).may(action) {
		c.deny(w, r, deniedAuth, "Reload is "+untrustedReason(r)+".")
		return
	}
	by := By{Author: callerOf(r).name}
	err := c.appliance.Reload(r.Context(), by)
	c.audit(r, "reload", Order{By: by}, err)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	_, _ = w.Write([]byte("reloaded\n"))
}
