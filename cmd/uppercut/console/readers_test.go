package console

import (
	"net/http"
	"strings"
	"testing"
)

// TestReadersSeeAndDoNotAct: a user whom web.readers lists is shown every page,
// without what leads to an action, and has every action refused, also by the
// control API, whatever is sent.
func TestReadersSeeAndDoNotAct(t *testing.T) {
	f := fleet()
	reader := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: webConfigFile(t), Readers: []string{"bob", operatorName}}, f)
	asJSON := http.Header{"Content-Type": {"application/json"}}
	for _, op := range operations() {
		status, body := reader.send(t, request{method: op.method, path: apiRoot + op.path + "?addr=203.0.113.9&by=source", header: asJSON, body: "{}"})
		if refused := status == http.StatusForbidden; refused != (op.needs == action) {
			t.Errorf("%s %s: status %d %s", op.method, op.path, status, body)
		} else if refused && !strings.Contains(body, "web.readers") {
			t.Errorf("%s %s: it says %s", op.method, op.path, body)
		}
	}
	for _, p := range pages() {
		method, path, _ := strings.Cut(p.path, " ")
		if strings.HasSuffix(path, "/live") {
			continue
		}
		status, body := reader.send(t, request{method: method, path: strings.TrimSuffix(path, "{$}") + "?addr=203.0.113.9&do=unblock&prefix=203.0.113.9/32"})
		if refused := status == http.StatusForbidden; refused != (p.needs == action) {
			t.Errorf("%s: status %d", p.path, status)
		}
		if strings.Contains(body, "/confirm") || strings.Contains(body, "/act\"") {
			t.Errorf("%s leads to an action:\n%s", p.path, body)
		}
	}
	if status, _ := reader.send(t, request{method: "POST", path: "/-/reload"}); status != http.StatusForbidden {
		t.Errorf("/-/reload: status %d", status)
	}
	// Others of the same file act: the pages do lead to actions.
	other := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: webConfigFile(t), Readers: []string{"bob"}}, f)
	for _, path := range []string{"/", "/blocks", "/guards", "/address?addr=203.0.113.9"} {
		if _, body := other.send(t, request{path: path}); !strings.Contains(body, "/confirm") {
			t.Errorf("%s leads to no action for who may act", path)
		}
	}
}
