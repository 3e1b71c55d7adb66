package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// deed is something that a person can order on the page. The confirmation asks
// for what it needs, and the same form is posted.
type deed struct {
	Name string
	// Verb stands on buttons; Sentence says what will happen.
	Verb, Sentence string
	// Prefix says whether it is about a prefix, Times for how long it can be;
	// the first is the usual one.
	Prefix bool
	Times  []forChoice
	// Back is where it leads if it is not about a prefix.
	Back string
	// Did is what is said when it is done.
	Did string

	do func(context.Context, Operator, Order, string) error
}

// deeds are all of them, by name.
var deeds = map[string]deed{
	"block": {
		Name: "block", Verb: "Block", Prefix: true, Times: blockTimes, Did: "Blocked.",
		Sentence: "Every packet from it will be dropped.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			res, err := op.Block(ctx, o)
			return refusalOr(res, err)
		},
	},
	"unblock": {
		Name: "unblock", Verb: "Unblock", Prefix: true, Did: "Unblocked; its scores are reset and it is not counted for a while.",
		Sentence: "Its packets will pass again, its scores are reset, and it is not counted for a while.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			_, err := op.Unblock(ctx, o)
			return err
		},
	},
	"allow": {
		Name: "allow", Verb: "Never block", Prefix: true, Times: allowTimes, Did: "Added to the allow list.",
		Sentence: "It is added to the allow list: an existing block is removed at once, and it will not be blocked again.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			_, err := op.Allow(ctx, o)
			return err
		},
	},
	"disallow": {
		Name: "disallow", Verb: "Remove from the allow list", Prefix: true, Did: "Removed from the allow list.",
		Sentence: "It can be blocked again.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			_, err := op.Disallow(ctx, o)
			return err
		},
	},
	"close_breaker": {
		Name: "close_breaker", Verb: "Close the breaker", Back: "/guards", Did: "The breaker is closed.",
		Sentence: "The reports of this host count in full again.",
		do: func(ctx context.Context, op Operator, o Order, host string) error {
			return op.CloseBreaker(ctx, o.By, host)
		},
	},
	"flush": {
		Name: "flush", Verb: "Pause blocking", Times: pauseTimes, Back: "/", Did: "Blocking is paused.",
		Sentence: "All blocks are removed from the firewall, and nothing is blocked until the time is up or blocking is resumed. Judging continues, and the list is enforced again then.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			return op.Flush(ctx, o.By, o.For, false)
		},
	},
	"resume": {
		Name: "resume", Verb: "Resume blocking", Back: "/", Did: "Blocking resumed.",
		Sentence: "The list goes back into the firewall.",
		do: func(ctx context.Context, op Operator, o Order, _ string) error {
			_, err := op.Resume(ctx, o.By)
			return err
		},
	},
}

// refusalOr makes an error of the first refusal, since a form names one prefix.
func refusalOr(res BlockResult, err error) error {
	if err == nil && len(res.Refused) > 0 {
		return refused("%s is %s", res.Refused[0].Prefix, CauseWords(res.Refused[0].Cause))
	}
	return err
}

// confirmView asks whether somebody means it.
type confirmView struct {
	Deed   deed
	Whom   string // as people write it
	Prefix string
	Addr   string // of the prefix, where Cancel leads
	Host   string
	Token  string
}

func (c *Console) drawConfirm(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	d, ok := deeds[q.Get("do")]
	if !ok {
		return invalid("do: there is no action %q", q.Get("do"))
	}
	v := confirmView{Deed: d, Whom: clip(q.Get("host")), Host: q.Get("host"), Token: c.tokens.of(callerOf(r).name)}
	if d.Prefix {
		p, err := ParsePrefix(strings.TrimSpace(q.Get("prefix")))
		if err != nil {
			return err
		}
		v.Whom, v.Prefix, v.Addr = who(p), p.String(), p.Addr().String()
	}
	c.show(w, r, http.StatusOK, "confirm", d.Verb, v)
	return nil
}

// act carries out what a confirmed form orders.
func (c *Console) act(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return invalid("invalid form: %s", err)
	}
	form := r.PostForm
	if !c.tokens.valid(callerOf(r).name, form.Get("token")) {
		c.deny(w, r, deniedToken, "This form has expired or did not come from this page. Go back, reload the page and try again.")
		return nil
	}
	d, ok := deeds[form.Get("do")]
	if !ok {
		return invalid("do: there is no action %q", form.Get("do"))
	}
	o, err := d.order(callerOf(r).name, form)
	if err != nil {
		return err
	}
	host := form.Get("host")
	err = d.do(r.Context(), c.appliance, o, host)
	c.audit(r, d.Name, o, err, "host", Visible(host))
	if err != nil {
		return err
	}
	http.Redirect(w, r, d.next(o), http.StatusSeeOther)
	return nil
}

func (d deed) order(author string, form url.Values) (Order, error) {
	req := orderRequest{Note: form.Get("note")}
	if text := form.Get("for"); d.Times != nil && text != "" {
		if err := req.For.UnmarshalText([]byte(text)); err != nil {
			return Order{}, invalid("for: %q is not a duration such as 90m or 24h", text)
		}
	}
	if !d.Prefix {
		return Order{By: By{author, req.Note}, For: time.Duration(req.For)}, errors.Join(checkNote(req.Note), checkPause(req.For))
	}
	req.Prefixes = []string{form.Get("prefix")}
	return req.order(author)
}

// next is the page that shows what has become of it.
func (d deed) next(o Order) string {
	if len(o.Prefixes) == 0 {
		return d.Back + "?did=" + d.Name
	}
	return addressURL(o.Prefixes[0]) + "&did=" + d.Name
}

// didText is what the page says after an action; "" for none.
func didText(name string) string { return deeds[name].Did }

// forChoice is a time that a form offers.
type forChoice struct {
	Value, Label string
}

// The times of the forms, the usual one first.
var (
	blockTimes = []forChoice{
		{"", "Default (1 hour)"}, {"24h0m0s", "a day"}, {"168h0m0s", "a week"}, {"720h0m0s", "30 days"}, {"forever", "forever, until unblocked"},
	}
	allowTimes = []forChoice{
		{"", "forever"}, {"1h0m0s", "an hour"}, {"24h0m0s", "a day"}, {"168h0m0s", "a week"}, {"720h0m0s", "30 days"},
	}
	pauseTimes = []forChoice{
		{"10m", "10 minutes"},
		{"30m", "30 minutes"},
		{"1h0m0s", "an hour"},
		{"4h", "4 hours"},
		{"24h0m0s", "a day"},
		{"", "until resumed or uppercut is restarted"},
	}
)
