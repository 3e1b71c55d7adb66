package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// document is as much of OpenAPI as ours uses.
type document struct {
	Paths      map[string]map[string]described `yaml:"paths"`
	Components struct {
		Schemas map[string]schema `yaml:"schemas"`
	} `yaml:"components"`
}

type described struct {
	Access     string `yaml:"x-access"`
	Parameters []struct {
		Name string `yaml:"name"`
	} `yaml:"parameters"`
	RequestBody struct {
		Content map[string]content `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Content map[string]content `yaml:"content"`
	} `yaml:"responses"`
}

type content struct {
	Schema schema `yaml:"schema"`
}

type schema struct {
	Ref        string            `yaml:"$ref"`
	AllOf      []schema          `yaml:"allOf"`
	Type       string            `yaml:"type"`
	Format     string            `yaml:"format"`
	Required   []string          `yaml:"required"`
	Properties map[string]schema `yaml:"properties"`
	Items      *schema           `yaml:"items"`
}

func readDocument(t *testing.T) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(OpenAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// resolve follows references.
func (d document) resolve(s schema) schema {
	if len(s.AllOf) == 1 {
		s = s.AllOf[0]
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

func TestOpenAPIDescribesEveryOperationAndNoOther(t *testing.T) {
	d := readDocument(t)
	levels := map[access]string{counts: "counts", evidence: "evidence", action: "action"}
	served := map[string]bool{}
	for _, op := range operations() {
		served[op.method+" "+op.path] = true
		is, ok := d.Paths[op.path][strings.ToLower(op.method)]
		if !ok {
			t.Errorf("%s %s is served but not described", op.method, op.path)
		} else if is.Access != levels[op.needs] {
			t.Errorf("%s %s: described for %s, served for %s", op.method, op.path, is.Access, levels[op.needs])
		}
	}
	for path, methods := range d.Paths {
		for method := range methods {
			if !served[strings.ToUpper(method)+" "+path] {
				t.Errorf("%s %s is described but not served", method, path)
			}
		}
	}
}

// TestAnswersAreAsDescribed asks every operation and holds the answer against
// its schema: no field too many, none missing, each of its type.
func TestAnswersAreAsDescribed(t *testing.T) {
	d := readDocument(t)
	f := fleet()
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	bodies := map[string]string{
		"/blocks": `{"prefixes":["203.0.113.10","127.0.0.1"],"for":"1h","note":"x"}`, "/unblock": `{"prefixes":["203.0.113.10","192.0.2.99"]}`,
		"/allow": `{"prefixes":["203.0.113.0/24"],"for":"24h"}`, "/disallow": `{"prefixes":["203.0.113.0/24"]}`,
		"/breakers/close": `{"host":"mx6","note":"right again"}`, "/flush": `{"forget":true}`,
	}
	queries := map[string]string{"/why": "?addr=203.0.113.9", "/top": "?by=source"}
	for _, op := range operations() {
		body := bodies[op.path]
		if body == "" {
			body = `{}`
		}
		r := httptest.NewRequest(op.method, apiRoot+op.path+queries[op.path], strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		c.api().ServeHTTP(w, withCaller(r, caller{name: "anna", trusted: true}))
		if w.Code != http.StatusOK {
			t.Errorf("%s %s: %d %s", op.method, op.path, w.Code, w.Body)
			continue
		}
		want := d.Paths[op.path][strings.ToLower(op.method)].Responses["200"].Content["application/json"].Schema
		var got any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, problem := range d.differences(op.path, want, got) {
			t.Errorf("%s %s: %s", op.method, op.path, problem)
		}
	}
}

// differences says where a value is not what a schema says.
func (d document) differences(at string, s schema, v any) (found []string) {
	s = d.resolve(s)
	switch v := v.(type) {
	case map[string]any:
		if s.Type != "object" {
			return []string{at + ": an object, not " + s.Type}
		}
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				found = append(found, at+"."+name+" is missing")
			}
		}
		for name, field := range v {
			property, ok := s.Properties[name]
			if !ok {
				found = append(found, at+"."+name+" is not described")
				continue
			}
			found = append(found, d.differences(at+"."+name, property, field)...)
		}
	case []any:
		if s.Type != "array" {
			return []string{at + ": a list, not " + s.Type}
		}
		for i, item := range v {
			found = append(found, d.differences(fmt.Sprintf("%s[%d]", at, i), *s.Items, item)...)
		}
	default:
		kinds := map[reflect.Kind][]string{reflect.String: {"string"}, reflect.Bool: {"boolean"}, reflect.Float64: {"integer", "number"}}
		if !slices.Contains(kinds[reflect.ValueOf(v).Kind()], s.Type) {
			return []string{fmt.Sprintf("%s: %v is no %s", at, v, s.Type)}
		}
	}
	return found
}

// TestSchemasHaveTheFieldsOfTheTypes holds each schema against the Go type of
// its name, fields that a test does not happen to fill included.
func TestSchemasHaveTheFieldsOfTheTypes(t *testing.T) {
	d := readDocument(t)
	types := map[string]any{
		"Status": Status{}, "Pace": Pace{}, "Rate": Rate{}, "Families": Families{}, "ActiveBlocks": ActiveBlocks{}, "Totals": Totals{}, "Reload": Reload{}, "Check": Check{},
		"Health": Health{}, "Block": Block{}, "PastBlock": PastBlock{}, "BlockPage": BlockPage{}, "Evidence": Evidence{}, "Why": Why{},
		"KernelState": KernelState{}, "RuleScore": RuleScore{}, "ScorePoint": ScorePoint{}, "AuditPage": AuditPage{}, "AuditEntry": AuditEntry{}, "Accepted": Accepted{}, "Allowance": Allowance{},
		"Breaker": Breaker{}, "Sender": Sender{}, "Refused": Refused{}, "RefusedCount": RefusedCount{}, "Sample": Sample{}, "Top": Top{}, "TopItem": TopItem{}, "Firewall": Firewall{},
		"Drift": Drift{}, "FirewallSet": FirewallSet{}, "BlockResult": BlockResult{}, "Refusal": Refusal{}, "UnblockResult": UnblockResult{}, "ListedPrefix": ListedPrefix{}, "Network": Network{}, "ResumeResult": ResumeResult{},
		"AllowanceList": listAnswer[Allowance]{}, "BreakerList": listAnswer[Breaker]{}, "SenderList": listAnswer[Sender]{},
		"SampleList": listAnswer[Sample]{}, "Configuration": configAnswer{}, "Done": done{}, "Error": errorAnswer{},
		"Order": orderRequest{}, "NoteOrder": noteRequest{}, "BreakerOrder": breakerRequest{}, "FlushOrder": flushRequest{},
	}
	for name, s := range d.Components.Schemas {
		v, ok := types[name]
		if !ok {
			t.Errorf("schema %s is of no type", name)
			continue
		}
		optional, required := fieldsOf(reflect.TypeOf(v))
		all := slices.Sorted(slices.Values(append(optional, required...)))
		if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, all) {
			t.Errorf("schema %s: %v, the type: %v", name, got, all)
		}
		slices.Sort(required)
		if got := slices.Sorted(slices.Values(s.Required)); !slices.Equal(got, required) {
			t.Errorf("schema %s requires %v, the type always has %v", name, got, required)
		}
		delete(types, name)
	}
	for name := range types {
		t.Errorf("type %s has no schema", name)
	}
}

func fieldsOf(t reflect.Type) (optional, required []string) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous || name == "-":
		case strings.HasPrefix(options, "omit"):
			optional = append(optional, name)
		default:
			required = append(required, name)
		}
	}
	return optional, required
}

func TestRequestsAreReadStrictly(t *testing.T) {
	f := newFake()
	c := newConsole(DefaultConfig(), Options{Appliance: f})
	long := `{"prefixes":["` + strings.Repeat("x", maxBody) + `"]}`
	crowd := `{"prefixes":[` + strings.Repeat(`"192.0.2.1",`, maxPrefixes) + `"192.0.2.1"]}`
	for name, body := range map[string]string{
		"nothing": ``, "no object": `[]`, "an unknown field": `{"prefixes":["192.0.2.1"],"fro":"1h"}`, "a number as a time": `{"prefixes":["192.0.2.1"],"for":600}`,
		"no prefix": `{"prefixes":[]}`, "a bad prefix": `{"prefixes":["mx1"]}`, "two objects": `{"prefixes":["192.0.2.1"]}{}`,
		"too long": long, "too many": crowd, "for ages": `{"prefixes":["192.0.2.1"],"for":"1000000h"}`,
		"a long note": "{\"prefixes\":[\"192.0.2.1\"],\"note\":\"" + strings.Repeat("x", maxNote+1) + "\"}",
	} {
		r := httptest.NewRequest("POST", apiRoot+"/blocks", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		c.api().ServeHTTP(w, withCaller(r, caller{name: "anna", trusted: true}))
		if w.Code != http.StatusBadRequest || !bytes.Contains(w.Body.Bytes(), []byte(`"error"`)) {
			t.Errorf("%s: %d %.100s, want 400 and why", name, w.Code, w.Body)
		}
		if name == "nothing" && !strings.Contains(w.Body.String(), "the body is empty; {} says nothing more") {
			t.Errorf("of an empty body: %s", w.Body)
		}
	}
	if did := f.done(); len(did) > 0 {
		t.Errorf("done all the same: %v", did)
	}
}

// TestPageNamesEveryOrder: whoever scripts finds in the docs what there is.
func TestPageNamesEveryOrder(t *testing.T) {
	page, err := os.ReadFile("../../../docs/page.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operations() {
		if op.method == http.MethodPost && !bytes.Contains(page, []byte("`"+op.path+"`")) {
			t.Errorf("docs/page.md does not name POST %s", op.path)
		}
	}
}

func TestUnknownOperation(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: newFake()})
	for _, q := range [][2]string{{"GET", "/nothing"}, {"DELETE", "/blocks"}, {"GET", "/flush"}} {
		w := httptest.NewRecorder()
		c.api().ServeHTTP(w, httptest.NewRequest(q[0], apiRoot+q[1], nil))
		if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), "see /api/v1/openapi.yaml") {
			t.Errorf("%s %s: %d %s", q[0], q[1], w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	c.api().ServeHTTP(w, httptest.NewRequest("GET", apiRoot+"/openapi.yaml", nil))
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), OpenAPI) {
		t.Errorf("openapi.yaml: %d", w.Code)
	}
}

// bare is an appliance whose lists are all nil.
type bare struct{ *fake }

func (bare) Block(context.Context, Order) (BlockResult, error)     { return BlockResult{}, nil }
func (bare) Unblock(context.Context, Order) (UnblockResult, error) { return UnblockResult{}, nil }
func (bare) Allowed(context.Context) ([]Allowance, error)          { return nil, nil }
func (bare) TopSources(context.Context, int) ([]TopItem, error)    { return nil, nil }
func (bare) Firewall(context.Context) (Firewall, error)            { return Firewall{}, nil }
func (bare) VerifyFirewall(context.Context) (Firewall, error)      { return Firewall{}, nil }
func (bare) RepairFirewall(context.Context, By) (Firewall, error)  { return Firewall{}, nil }
func (bare) Status(context.Context) (Status, error)                { return Status{}, nil }

func TestEmptyListsAreNotNull(t *testing.T) {
	c := newConsole(DefaultConfig(), Options{Appliance: bare{newFake()}})
	for _, op := range operations() {
		body := `{}`
		if slices.Contains([]string{"/blocks", "/unblock", "/allow", "/disallow"}, op.path) {
			body = `{"prefixes":["192.0.2.1"]}`
		}
		r := httptest.NewRequest(op.method, apiRoot+op.path+"?addr=192.0.2.1", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		c.api().ServeHTTP(w, withCaller(r, caller{name: "anna", trusted: true}))
		if bytes.Contains(w.Body.Bytes(), []byte(":null")) {
			t.Errorf("%s %s: %s", op.method, op.path, w.Body)
		}
	}
}
