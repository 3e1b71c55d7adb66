package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// ErrNotRunning means that nobody answers on the control socket, ErrNoPermission
// that the caller is not in its group.
var (
	ErrNotRunning   = errors.New("uppercut is not running")
	ErrNoPermission = errors.New("no permission: only root and group " + socketGroup + " may ask")
)

// Client asks a running appliance. It is safe for concurrent use.
type Client struct {
	socket  string
	http    *http.Client
	unsaved string // of the last order
}

// Dial returns a client of the appliance that listens on a control socket. It
// connects to see whether anybody answers.
func Dial(socket string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	c := &Client{socket, &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}}, ""}
	conn, err := dial(context.Background(), "", "")
	if err != nil {
		return nil, c.explain(err)
	}
	return c, conn.Close()
}

// Close drops the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Unsaved says why the last order is in force and not saved, "" if it is saved.
func (c *Client) Unsaved() string { return c.unsaved }

func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: no answer on %s", ErrNotRunning, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w on %s", ErrNoPermission, c.socket)
	}
	return fmt.Errorf("ask the appliance on %s: %w", c.socket, err)
}

// Status asks how the appliance is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.get(ctx, "/status", nil, &s)
	return s, err
}

// Health asks whether the appliance does its work.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.get(ctx, "/health", nil, &h)
	return h, err
}

// Blocks asks for a page of the list.
func (c *Client) Blocks(ctx context.Context, s Search) (p BlockPage, err error) {
	q := values(map[string]string{
		"search": s.Text, "reason": s.Reason, "host": s.Host, "rule": s.Rule, "after": s.After,
	}, s.Limit)
	err = c.get(ctx, "/blocks", q, &p)
	return p, err
}

// Why asks all that is known of an address, or of a prefix that is counted or
// blocked as one.
func (c *Client) Why(ctx context.Context, p netip.Prefix) (w Why, err error) {
	err = c.get(ctx, "/why", url.Values{"addr": {p.String()}}, &w)
	return w, err
}

// Block orders a block of ps; d of 0 leaves the time to the appliance.
func (c *Client) Block(ctx context.Context, d time.Duration, note string, ps ...netip.Prefix) (all BlockResult, err error) {
	err = order(ctx, c, "/blocks", orderRequest{For: Duration(d), Note: note}, ps, func(part BlockResult) {
		all.Blocked = append(all.Blocked, part.Blocked...)
		all.Refused = append(all.Refused, part.Refused...)
		all.NotEnforced = part.NotEnforced
	})
	return all, err
}

// Unblock orders the end of the blocks that overlap ps, or are exactly these.
func (c *Client) Unblock(ctx context.Context, exact bool, note string, ps ...netip.Prefix) (all UnblockResult, err error) {
	err = order(ctx, c, "/unblock", orderRequest{Note: note, Exact: exact}, ps, func(part UnblockResult) {
		all.Unblocked = append(all.Unblocked, part.Unblocked...)
		all.NotBlocked = append(all.NotBlocked, part.NotBlocked...)
		all.LeftAloneUntil = part.LeftAloneUntil
		all.Listed = append(all.Listed, part.Listed...)
	})
	return all, err
}

// Allowed asks for the allow list.
func (c *Client) Allowed(ctx context.Context) ([]Allowance, error) {
	return items[Allowance](ctx, c, "/allow", nil)
}

// Allow adds ps to the allow list, forever if d is 0; what covers much of the
// Internet only with force.
func (c *Client) Allow(ctx context.Context, force bool, d time.Duration, note string, ps ...netip.Prefix) (all []Allowance, err error) {
	err = order(ctx, c, "/allow", orderRequest{For: Duration(d), Note: note, Force: force}, ps, func(part listAnswer[Allowance]) {
		all = append(all, part.Items...)
	})
	return all, err
}

// Disallow removes ps from the allow list and returns what was on it.
func (c *Client) Disallow(ctx context.Context, note string, ps ...netip.Prefix) (all []Allowance, err error) {
	err = order(ctx, c, "/disallow", orderRequest{Note: note}, ps, func(part listAnswer[Allowance]) {
		all = append(all, part.Items...)
	})
	return all, err
}

// Breakers asks for the breakers of all hosts.
func (c *Client) Breakers(ctx context.Context) ([]Breaker, error) {
	return items[Breaker](ctx, c, "/breakers", nil)
}

// CloseBreaker orders that a host's evidence counts in full again.
func (c *Client) CloseBreaker(ctx context.Context, host, note string) error {
	return c.post(ctx, "/breakers/close", breakerRequest{host, note}, &done{})
}

// Senders asks who logs.
func (c *Client) Senders(ctx context.Context) ([]Sender, error) {
	return items[Sender](ctx, c, "/senders", nil)
}

// Audit asks for a page of the audit log.
func (c *Client) Audit(ctx context.Context, s AuditSearch) (p AuditPage, err error) {
	q := values(map[string]string{"search": s.Text, "action": s.Action, "author": s.Author, "after": s.After}, s.Limit)
	err = c.get(ctx, "/audit", q, &p)
	return p, err
}

// Top asks for the most; by is source, reason or host.
func (c *Client) Top(ctx context.Context, by string, limit int) (t Top, err error) {
	err = c.get(ctx, "/top", url.Values{"by": {by}, "limit": {strconv.Itoa(limit)}}, &t)
	return t, err
}

// Samples asks for lines that were not understood.
func (c *Client) Samples(ctx context.Context) ([]Sample, error) {
	return items[Sample](ctx, c, "/samples", nil)
}

// Flush orders that the table goes away until Resume, or for as long as pause if
// that is not 0; forget empties the ledger too.
func (c *Client) Flush(ctx context.Context, pause time.Duration, forget bool, note string) error {
	return c.post(ctx, "/flush", flushRequest{forget, Duration(pause), note}, &done{})
}

// Resume ends a Flush.
func (c *Client) Resume(ctx context.Context, note string) (r ResumeResult, err error) {
	err = c.post(ctx, "/resume", noteRequest{note}, &r)
	return r, err
}

// Firewall asks for the state of the objects in the kernel.
func (c *Client) Firewall(ctx context.Context) (f Firewall, err error) {
	err = c.get(ctx, "/firewall", nil, &f)
	return f, err
}

// VerifyFirewall orders a comparison of kernel and list.
func (c *Client) VerifyFirewall(ctx context.Context) (f Firewall, err error) {
	err = c.post(ctx, "/firewall/verify", noteRequest{}, &f)
	return f, err
}

// RepairFirewall orders that the kernel be made to agree with the list.
func (c *Client) RepairFirewall(ctx context.Context, note string) (f Firewall, err error) {
	err = c.post(ctx, "/firewall/repair", noteRequest{note}, &f)
	return f, err
}

// Reload orders that the configuration be read again.
func (c *Client) Reload(ctx context.Context, note string) error {
	return c.post(ctx, "/reload", noteRequest{note}, &done{})
}

// Configuration asks for what is in force, as YAML.
func (c *Client) Configuration(ctx context.Context) (string, error) {
	var a configAnswer
	err := c.get(ctx, "/config", nil, &a)
	return a.YAML, err
}

// values are the parameters of a search; what is empty is left out.
func values(words map[string]string, limit int) url.Values {
	q := url.Values{}
	for key, v := range words {
		if v != "" {
			q.Set(key, v)
		}
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	return q
}

func items[T any](ctx context.Context, c *Client, path string, q url.Values) ([]T, error) {
	var a listAnswer[T]
	err := c.get(ctx, path, q, &a)
	return a.Items, err
}

// order sends ps in parts that the API takes; each part's answer goes to add.
// What was done before an error stays done and has been added.
func order[T any](ctx context.Context, c *Client, path string, req orderRequest, ps []netip.Prefix, add func(T)) error {
	for part := range slices.Chunk(ps, maxPrefixes) {
		req.Prefixes = make([]string, len(part))
		for i, p := range part {
			req.Prefixes[i] = p.String()
		}
		var answer T
		if err := c.post(ctx, path, req, &answer); err != nil {
			return err
		}
		add(answer)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	u := "http://uppercut" + apiRoot + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	return c.do(req, into)
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://uppercut"+apiRoot+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, into)
}

func (c *Client) do(req *http.Request, into any) error {
	res, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return answeredError(res)
	}
	if why := res.Header.Get(unsavedHeader); why != "" {
		c.unsaved = why
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("read the appliance's answer: %w", err)
	}
	return nil
}

// APIError is what the appliance says against a request. It wraps ErrInvalid
// and the like by its status.
type APIError struct {
	Status  int
	Message string
}

func (e *APIError) Error() string { return e.Message }

// Is reports the sentinel that the appliance's error wrapped.
func (e *APIError) Is(target error) bool {
	for _, s := range statuses {
		if s.status == e.Status {
			return target == s.err
		}
	}
	return false
}

func answeredError(res *http.Response) error {
	var a errorAnswer
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil || a.Error == "" {
		a.Error = "the appliance answers " + res.Status
	}
	return &APIError{res.StatusCode, Visible(a.Error)}
}
