package outbox

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const documentFile = "../../../docs/events.md"

func readDocument(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedVerification runs the shell of the document on a real post, and
// on ones that somebody has touched.
func TestDocumentedVerification(t *testing.T) {
	found := regexp.MustCompile("(?s)```bash\n(.*?)```").FindStringSubmatch(readDocument(t))
	if found == nil {
		t.Fatalf("no example in %s", documentFile)
	}
	server := newReceiver(t)
	r := start(t, hookConfig(t, server.URL))
	r.Publish(aBlock())
	r.stop()
	header, body := server.posts[0].Header, server.bodies[0]
	id, at, signature := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), header.Get("Webhook-Signature")
	verify := func(secret, id, at, signature string, body []byte) bool {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", found[1]+"\n"+`verify "$@"`, "bash", secret, id, at, signature)
		cmd.Stdin = bytes.NewReader(body)
		return cmd.Run() == nil
	}
	if !verify(secretText, id, at, signature, body) {
		t.Errorf("our own post is refused: %v\n%s", header, body)
	}
	w := &webhook{secret: []byte("another secret of 24 byt")}
	later := strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10)
	for name, forged := range map[string]bool{
		"another body":      verify(secretText, id, at, signature, append(body, ' ')),
		"another id":        verify(secretText, id+"0", at, signature, body),
		"a fresh timestamp": verify(secretText, id, later, signature, body),
		"another secret":    verify("whsec_"+strings.Repeat("A", 32), id, at, signature, body),
		"another signature": verify(secretText, id, at, signedBy(w, id, time.Now(), body), body),
	} {
		if forged {
			t.Errorf("%s is taken", name)
		}
	}
	secret, err := readSecret(writeFile(t, "secret", secretText))
	if err != nil {
		t.Fatal(err)
	}
	for age, fresh := range map[time.Duration]bool{4 * time.Minute: true, 6 * time.Minute: false, -6 * time.Minute: false} {
		sent := time.Now().Add(-age)
		if got := verify(secretText, id, strconv.FormatInt(sent.Unix(), 10), signedBy(&webhook{secret: secret}, id, sent, body), body); got != fresh {
			t.Errorf("%v old: taken %v, want %v", age, got, fresh)
		}
	}
}

func signedBy(w *webhook, id string, at time.Time, body []byte) string {
	req := httptest.NewRequest("POST", "/", nil)
	w.sign(req, id, at, body)
	return req.Header.Get("Webhook-Signature")
}

// TestDocumentNamesEveryField holds the document's table against the type.
func TestDocumentNamesEveryField(t *testing.T) {
	text := readDocument(t)
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Event]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !regexp.MustCompile("(?m)^\\|[^|]*`" + name + "`").MatchString(text) {
			t.Errorf("%s does not explain the field %s", documentFile, name)
		}
	}
	for _, word := range []string{dropOverflow, dropRefused, dropExpired, dropShutdown, dropOff} {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("%s does not name the reason %s", documentFile, word)
		}
	}
}
