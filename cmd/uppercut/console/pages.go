package console

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var assetFiles embed.FS

// page is one entry of the status page: what it needs and who draws it.
type page struct {
	path  string
	needs access
	draw  func(*Console, http.ResponseWriter, *http.Request) error
}

func pages() []page {
	return []page{
		{"GET /{$}", counts, (*Console).drawOverview},
		{"GET /live", counts, (*Console).serveLive},
		{"GET /blocks", evidence, (*Console).drawBlocks},
		{"GET /address", evidence, (*Console).drawAddress},
		{"GET /senders", evidence, (*Console).drawSenders},
		{"GET /samples", evidence, (*Console).drawSamples},
		{"GET /guards", evidence, (*Console).drawGuards},
		{"GET /audit", evidence, (*Console).drawAudit},
		{"GET /config", evidence, (*Console).drawConfig},
		{"GET /confirm", action, (*Console).drawConfirm},
		{"POST /act", action, (*Console).act},
	}
}

func (c *Console) addPages(mux *http.ServeMux) {
	for _, p := range pages() {
		mux.HandleFunc(p.path, func(w http.ResponseWriter, r *http.Request) { c.servePage(w, r, p) })
	}
	assets, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", filesOnly(http.FileServerFS(assets))))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.show(w, r, http.StatusNotFound, "message", "Not found", "There is no such page.")
	})
}

// filesOnly lists no directory.
func filesOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" || strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Console) servePage(w http.ResponseWriter, r *http.Request, p page) {
	if !callerOf(r).may(p.needs) {
		c.metrics.denied.WithLabelValues(deniedAuth).Inc()
		c.show(w, r, http.StatusForbidden, "message", "Not shown", "This is shown "+untrustedReason(r)+".")
		return
	}
	if err := p.draw(c, w, r); err != nil {
		c.showError(w, r, err)
	}
}

func (c *Console) showError(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		c.logger.Error("page failed", "path", r.URL.Path, "error", err)
	}
	c.show(w, r, status, "message", "That did not work", err.Error())
}

// blocksView is the list of blocks.
type blocksView struct {
	Search Search
	BlockPage
	NextURL string
	// Reasons and Hosts are suggestions for the search.
	Reasons, Hosts []string
}

func (c *Console) drawBlocks(w http.ResponseWriter, r *http.Request) error {
	s, err := searchOf(r)
	if err != nil {
		return err
	}
	found, err := find(r.Context(), c.appliance, s)
	if err != nil {
		return err
	}
	v := blocksView{Search: s, BlockPage: found}
	now := time.Now()
	v.Reasons = namesOf(c.history.trends(blocksByReason, now))
	v.Hosts = namesOf(c.history.trends(blocksByHost, now))
	if found.Next != "" {
		v.NextURL = nextURL(r, found.Next)
	}
	c.show(w, r, http.StatusOK, "blocks", "Blocks", v)
	return nil
}

func namesOf(ts []trend) (names []string) {
	for _, t := range ts {
		names = append(names, t.Name)
	}
	return names
}

// addressView is all that is known of an address.
type addressView struct {
	Why
	Sentence string
	LetIn    bool // as it should be
	Charts   []scoreChart
	// Target is what an action on this page is about: the block if there is
	// one, which may be wider than the address.
	Target netip.Prefix
	Did    string
}

func (c *Console) drawAddress(w http.ResponseWriter, r *http.Request) error {
	why, err := c.whyAsked(r)
	if err != nil {
		return err
	}
	now := time.Now()
	standing := why.Standing()
	v := addressView{
		Why: why, Sentence: why.Sentence(now), LetIn: standing == NotBlocked || standing == Spared,
		Target: why.Source, Did: r.URL.Query().Get("did"),
	}
	if why.Block != nil {
		v.Target = why.Block.Prefix
	}
	var blocked time.Time
	if why.Block != nil {
		blocked = why.Block.At
	}
	for _, rule := range why.Rules {
		v.Charts = append(v.Charts, newScoreChart(rule, blocked, now))
	}
	c.show(w, r, http.StatusOK, "address", why.Addr.String(), v)
	return nil
}

// addressURL is the page of a prefix's first address.
func addressURL(p netip.Prefix) string {
	return "/address?" + url.Values{"addr": {p.Addr().String()}}.Encode()
}

func (c *Console) drawSenders(w http.ResponseWriter, r *http.Request) error {
	senders, err := c.appliance.Senders(r.Context())
	if err != nil {
		return err
	}
	var v sendersView
	for _, s := range senders {
		if s.Refused != nil {
			v.Refused = append(v.Refused, s)
		} else {
			v.Hosts = append(v.Hosts, s)
		}
	}
	c.show(w, r, http.StatusOK, "senders", "Mail hosts", v)
	return nil
}

// sendersView is who sends, and who tries to.
type sendersView struct{ Hosts, Refused []Sender }

func (c *Console) drawSamples(w http.ResponseWriter, r *http.Request) error {
	samples, err := c.appliance.Samples(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "samples", "Not understood", samples)
	return nil
}

// guardsView is what keeps somebody from being blocked.
type guardsView struct {
	Breakers []Breaker
	Allowed  []Allowance
	Firewall Firewall
	Did      string
}

func (c *Console) drawGuards(w http.ResponseWriter, r *http.Request) error {
	var v guardsView
	var errs [3]error
	v.Breakers, errs[0] = c.appliance.Breakers(r.Context())
	v.Allowed, errs[1] = c.appliance.Allowed(r.Context())
	v.Firewall, errs[2] = c.appliance.Firewall(r.Context())
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	v.Did = r.URL.Query().Get("did")
	slices.SortStableFunc(v.Breakers, func(a, b Breaker) int {
		if a.Open == b.Open {
			return 0
		} else if a.Open {
			return -1
		}
		return 1
	})
	c.show(w, r, http.StatusOK, "guards", "Safety", v)
	return nil
}

func (c *Console) drawConfig(w http.ResponseWriter, r *http.Request) error {
	text, err := c.appliance.Configuration(r.Context())
	if err != nil {
		return fmt.Errorf("read the configuration in force: %w", err)
	}
	c.show(w, r, http.StatusOK, "config", "Configuration", text)
	return nil
}
