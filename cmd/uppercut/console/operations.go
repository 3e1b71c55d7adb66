package console

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// access is what a caller must be allowed to do for an operation.
type access uint8

const (
	counts   access = iota // anybody
	evidence               // who may see addresses and log lines
	action                 // who may act
)

// operation is one entry of the control API. Its handler returns a value for
// the answer; errors become a status by what they wrap.
type operation struct {
	method, path string
	needs        access
	serve        handler
}

type handler func(*Console, *http.Request) (any, error)

// apiRoot is where the control API begins.
const apiRoot = "/api/v1"

// operations is the control API. openapi.yaml describes it and is held against
// this list by a test.
func operations() []operation {
	return []operation{
		{"GET", "/status", counts, (*Console).status},
		{"GET", "/health", counts, (*Console).health},
		{"GET", "/blocks", evidence, (*Console).blocks},
		{"POST", "/blocks", action, ordered("block", blockAll)},
		{"POST", "/unblock", action, ordered("unblock", unblockAll)},
		{"GET", "/audit", evidence, (*Console).auditLog},
		{"GET", "/why", evidence, (*Console).why},
		{"GET", "/allow", evidence, listed(Reader.Allowed)},
		{"POST", "/allow", action, ordered("allow", listing(Operator.Allow))},
		{"POST", "/disallow", action, ordered("disallow", listing(Operator.Disallow))},
		{"GET", "/breakers", evidence, listed(Reader.Breakers)},
		{"POST", "/breakers/close", action, (*Console).closeBreaker},
		{"GET", "/senders", evidence, listed(Reader.Senders)},
		{"GET", "/top", evidence, (*Console).top},
		{"GET", "/samples", evidence, listed(Reader.Samples)},
		{"POST", "/flush", action, (*Console).flush},
		{"POST", "/resume", action, commanded("resume", Operator.Resume)},
		{"GET", "/firewall", evidence, (*Console).firewall},
		{"POST", "/firewall/verify", action, (*Console).verifyFirewall},
		{"POST", "/firewall/repair", action, (*Console).repairFirewall},
		{"POST", "/reload", action, commanded("reload", reloadAll)},
		{"GET", "/config", evidence, (*Console).configuration},
	}
}

// listed serves a list that takes no arguments.
func listed[T any](ask func(Reader, context.Context) ([]T, error)) handler {
	return func(c *Console, r *http.Request) (any, error) {
		items, err := ask(c.appliance, r.Context())
		return listOf(items), err
	}
}

// ordered serves an order about prefixes.
func ordered[T any](name string, do func(Operator, context.Context, Order) (T, error)) handler {
	return func(c *Console, r *http.Request) (any, error) {
		var req orderRequest
		if err := decode(r, &req); err != nil {
			return nil, err
		}
		o, err := req.order(callerOf(r).name)
		if err != nil {
			return nil, err
		}
		answer, err := do(c.appliance, r.Context(), o)
		c.audit(r, name, o, err)
		return answer, err
	}
}

// listing makes an order that answers with a list answer with an object.
func listing[T any](do func(Operator, context.Context, Order) ([]T, error)) func(Operator, context.Context, Order) (listAnswer[T], error) {
	return func(op Operator, ctx context.Context, o Order) (listAnswer[T], error) {
		items, err := do(op, ctx, o)
		return listOf(items), err
	}
}

func blockAll(op Operator, ctx context.Context, o Order) (BlockResult, error) {
	res, err := op.Block(ctx, o)
	res.Blocked = orEmpty(res.Blocked)
	return res, err
}

func unblockAll(op Operator, ctx context.Context, o Order) (UnblockResult, error) {
	res, err := op.Unblock(ctx, o)
	res.Unblocked = orEmpty(res.Unblocked)
	return res, err
}

// commanded serves an order that takes nothing but a note.
func commanded[T any](name string, do func(Operator, context.Context, By) (T, error)) handler {
	return func(c *Console, r *http.Request) (any, error) {
		by, err := byOf(r)
		if err != nil {
			return nil, err
		}
		answer, err := do(c.appliance, r.Context(), by)
		c.audit(r, name, Order{By: by}, err)
		return answer, err
	}
}

func reloadAll(op Operator, ctx context.Context, by By) (done, error) {
	return done{}, op.Reload(ctx, by)
}

func (c *Console) status(r *http.Request) (any, error) { return c.currentStatus(r.Context()) }

func (c *Console) health(*http.Request) (any, error) { return c.currentHealth(), nil }

func (c *Console) blocks(r *http.Request) (any, error) {
	s, err := searchOf(r)
	if err != nil {
		return nil, err
	}
	return find(r.Context(), c.appliance, s)
}

func searchOf(r *http.Request) (Search, error) {
	q := r.URL.Query()
	limit, err := limitOf(r)
	return Search{
		Text: q.Get("search"), Reason: q.Get("reason"), Host: q.Get("host"), Rule: q.Get("rule"),
		Limit: limit, After: q.Get("after"),
	}, err
}

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalid("limit: %q is not a number", text)
	}
	return n, nil
}

func (c *Console) why(r *http.Request) (any, error) {
	return c.whyAsked(r)
}

// whyAsked answers for the address of a request. A prefix will do where it is
// how the address is counted or blocked, as in the list of blocks.
func (c *Console) whyAsked(r *http.Request) (Why, error) {
	text := strings.TrimSpace(r.URL.Query().Get("addr"))
	p, err := ParsePrefix(text)
	if err != nil {
		return Why{}, invalid("addr: %q is neither an address nor a prefix", text)
	}
	w, err := c.appliance.Why(r.Context(), p.Addr())
	if err == nil && !p.IsSingleIP() && !w.about(p) {
		err = invalid("%s is a network that is neither counted nor blocked as one; `uppercut blocks %s` lists what is blocked in it", p, p)
	}
	w.Network = c.networks.of(p.Addr())
	return w, err
}

// about tells whether w says how p stands.
func (w Why) about(p netip.Prefix) bool {
	return w.Source == p || slices.ContainsFunc(w.History, func(b PastBlock) bool { return b.Prefix == p })
}

func (c *Console) closeBreaker(r *http.Request) (any, error) {
	var req breakerRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if req.Host == "" {
		return nil, invalid("host: must not be empty")
	}
	by := By{callerOf(r).name, req.Note}
	err := c.appliance.CloseBreaker(r.Context(), by, req.Host)
	c.audit(r, "close_breaker", Order{By: by}, err, "host", Visible(req.Host))
	return done{}, err
}

func (c *Console) top(r *http.Request) (any, error) {
	limit, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	return c.topBy(r.Context(), r.URL.Query().Get("by"), limit)
}

func (c *Console) flush(r *http.Request) (any, error) {
	var req flushRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	by := By{callerOf(r).name, req.Note}
	if err := errors.Join(checkNote(req.Note), checkPause(req.For)); err != nil {
		return nil, err
	}
	err := c.appliance.Flush(r.Context(), by, time.Duration(req.For), req.Forget)
	c.audit(r, "flush", Order{By: by, For: time.Duration(req.For)}, err, "forget", req.Forget)
	return done{}, err
}

// checkPause takes 0 for no end.
func checkPause(d Duration) error {
	if d < 0 || d > Duration(MaxPause) {
		return invalid("for: a pause lasts up to %s", FormatDuration(MaxPause))
	}
	return nil
}

func (c *Console) firewall(r *http.Request) (any, error) {
	return firewallAnswer(c.appliance.Firewall(r.Context()))
}

func firewallAnswer(f Firewall, err error) (any, error) {
	f.Sets = orEmpty(f.Sets)
	return f, err
}

func (c *Console) verifyFirewall(r *http.Request) (any, error) {
	if _, err := byOf(r); err != nil {
		return nil, err
	}
	return firewallAnswer(c.appliance.VerifyFirewall(r.Context()))
}

func (c *Console) repairFirewall(r *http.Request) (any, error) {
	by, err := byOf(r)
	if err != nil {
		return nil, err
	}
	fw, err := c.appliance.RepairFirewall(r.Context(), by)
	c.audit(r, "repair", Order{By: by}, err)
	return firewallAnswer(fw, err)
}

func (c *Console) configuration(r *http.Request) (any, error) {
	text, err := c.appliance.Configuration(r.Context())
	return configAnswer{text}, err
}
