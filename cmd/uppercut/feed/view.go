package feed

import (
	"encoding/json"
	"iter"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origin is where CrowdSec's clients are told that decisions come from, and
// scenarioPrefix stands before the rule's name in their scenario.
const (
	origin         = "uppercut"
	scenarioPrefix = "uppercut/"
)

// view is what of the list one client wants, and in which form.
type view struct {
	single       bool // addresses in place of IPv6 networks
	addresses    bool // scope Ip
	networks     bool // scope Range
	nothing      bool // it asks for other decisions than ours
	containing   []string
	without      []string
	scenarioJSON map[string]string // by rule, "" for one that is not wanted
}

// viewOf reads the filters of a query as CrowdSec's local API has them: lists
// separated by commas; one that is missing or empty lets everything pass.
func viewOf(c *client, q url.Values) *view {
	scopes := words(q.Get("scopes"))
	if one := q.Get("scope"); one != "" {
		scopes = append(scopes, strings.ToLower(one))
	}
	origins := words(q.Get("origins"))
	kind := strings.ToLower(q.Get("type"))
	return &view{
		single:       c.single,
		addresses:    len(scopes) == 0 || slices.Contains(scopes, "ip"),
		networks:     len(scopes) == 0 || slices.Contains(scopes, "range"),
		nothing:      len(origins) > 0 && !slices.Contains(origins, origin) || kind != "" && kind != "ban",
		containing:   words(q.Get("scenarios_containing")),
		without:      words(q.Get("scenarios_not_containing")),
		scenarioJSON: map[string]string{},
	}
}

// key tells views of one client apart.
func (v *view) key() string {
	parts := []string{strings.Join(v.containing, ","), strings.Join(v.without, ",")}
	for _, on := range []bool{v.single, v.addresses, v.networks, v.nothing} {
		parts = append(parts, map[bool]string{true: "1"}[on])
	}
	return strings.Join(parts, ";")
}

func words(list string) (out []string) {
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.ToLower(strings.TrimSpace(word)); word != "" {
			out = append(out, word)
		}
	}
	return out
}

// scenario is the scenario of a rule as JSON, "" for one that the client does not
// want.
func (v *view) scenario(rule string) string {
	text, ok := v.scenarioJSON[rule]
	if !ok {
		name := strings.ToLower(scenarioPrefix + rule)
		in := func(part string) bool { return strings.Contains(name, part) }
		if (len(v.containing) == 0 || slices.ContainsFunc(v.containing, in)) && !slices.ContainsFunc(v.without, in) {
			encoded, _ := json.Marshal(scenarioPrefix + rule) // a string always has a form
			text = string(encoded)
		}
		v.scenarioJSON[rule] = text
	}
	return text
}

// value is one thing that a client is told to block, or not to block any more.
type value struct {
	*record
	prefix netip.Prefix
}

func (v value) scope() string {
	if v.prefix.IsSingleIP() {
		return "Ip"
	}
	return "Range"
}

func (v value) String() string {
	if v.prefix.IsSingleIP() {
		return v.prefix.Addr().String()
	}
	return v.prefix.String()
}

// of yields what a client with this view gets of an entry.
func (v *view) of(r *record) iter.Seq[value] {
	return func(yield func(value) bool) {
		if v.nothing || v.scenario(r.rule) == "" {
			return
		}
		if v.single && isNetwork6(r.prefix) {
			for _, a := range r.addrs {
				if v.addresses && !yield(value{r, netip.PrefixFrom(a, a.BitLen())}) {
					return
				}
			}
			return
		}
		if r.prefix.IsSingleIP() && v.addresses || !r.prefix.IsSingleIP() && v.networks {
			yield(value{r, r.prefix})
		}
	}
}
