package outbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// lately is when the events of the tests happened: not so long ago that they are
// given up.
var lately = time.Now().UTC().Truncate(time.Second)

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// receiver is a real HTTP server that keeps what was posted to it.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	answer  func(http.ResponseWriter, *http.Request) // nil: 204
	posts   []*http.Request
	bodies  [][]byte
	arrived chan struct{} // one for each request
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{arrived: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.posts, r.bodies = append(r.posts, req), append(r.bodies, body)
	answer := r.answer
	r.mu.Unlock()
	r.arrived <- struct{}{}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, req)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.posts)
}

func (r *receiver) answers(f func(http.ResponseWriter, *http.Request)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// await waits for n requests.
func (r *receiver) await(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		select {
		case <-r.arrived:
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d requests have come", i, n)
		}
	}
}

// got are the events of all posts so far, repetitions included.
func (r *receiver) got(t *testing.T) (all []Event) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range r.bodies {
		var p post
		if err := json.Unmarshal(body, &p); err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		all = append(all, p.Events...)
	}
	return all
}

// running is an Outbox that runs until stop or the end of the test.
type running struct {
	*Outbox
	registry *prometheus.Registry
	stop     func()
}

// hookConfig posts to a server.
func hookConfig(t *testing.T, url string) Config {
	t.Helper()
	c := DefaultConfig()
	c.Webhook.URL, c.Webhook.SecretFile = url, writeFile(t, "secret", secretText+"\n")
	return c
}

func start(t *testing.T, c Config) *running {
	t.Helper()
	return startLogged(t, c, t.Output())
}

// startLogged is start with the log in w.
func startLogged(t *testing.T, c Config, w io.Writer) *running {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	o, err := New(c, Options{Registerer: registry, Logger: slog.New(slog.NewTextHandler(w, nil)), Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	o.webhook.first, o.syslog.first = 10*time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = o.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return &running{o, registry, stop}
}

// counts holds the counters against what is wanted.
func (r *running) counts(t *testing.T, want map[string]float64) {
	t.Helper()
	got := map[string]float64{}
	m := r.webhook.metrics
	for _, sink := range []string{sinkWebhook, sinkSyslog} {
		got[sink+" delivered"] = testutil.ToFloat64(m.delivered.WithLabelValues(sink))
		got[sink+" failures"] = testutil.ToFloat64(m.failures.WithLabelValues(sink))
		for _, reason := range []string{dropOverflow, dropRefused, dropExpired, dropShutdown, dropOff} {
			got[sink+" "+reason] = testutil.ToFloat64(m.dropped.WithLabelValues(sink, reason))
		}
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %v, want %v", name, got[name], n)
		}
	}
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("it never happens that %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (r *running) delivered(sink string) float64 {
	return testutil.ToFloat64(r.webhook.metrics.delivered.WithLabelValues(sink))
}

func aBlock() Event {
	return Event{
		Time: lately, Kind: Block, Prefix: netip.MustParsePrefix("203.0.113.9/32"), Block: 812, Until: lately.Add(time.Hour),
		Rule: "burst", Score: 10.5, Reason: "dnsbl", Host: "mx1",
		Evidence: []Evidence{{lately, "mx1", "dnsbl", "reject=550 5.7.1"}},
	}
}

func TestWebhookTakesEveryKind(t *testing.T) {
	server := newReceiver(t)
	r := start(t, hookConfig(t, server.URL))
	for _, kind := range Kinds() {
		e := aBlock()
		e.Kind = Kind(kind)
		r.Publish(e)
	}
	eventually(t, "four events are delivered", func() bool { return r.delivered(sinkWebhook) == 4 })
	ids := map[string]bool{}
	for i, e := range server.got(t) {
		want := aBlock()
		want.ID, want.Kind = e.ID, Kind(Kinds()[i])
		if got, _ := json.Marshal(e); string(got) != mustJSON(t, want) {
			t.Errorf("got %s, want %s", got, mustJSON(t, want))
		}
		ids[e.ID] = true
	}
	if len(ids) != 4 {
		t.Errorf("IDs are not unique: %v", ids)
	}
	r.counts(t, map[string]float64{"webhook failures": 0, "webhook overflow": 0, "syslog delivered": 0})
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSignature holds the signature against the example that Standard Webhooks
// publishes with this secret.
func TestSignature(t *testing.T) {
	w, err := newWebhook(hookConfig(t, "http://192.0.2.1/").Webhook, "v1")
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/", nil)
	w.sign(req, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got, want := req.Header.Get("Webhook-Signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if req.Header.Get("Webhook-Timestamp") != "1614265330" || req.Header.Get("Webhook-Id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
		t.Errorf("headers: %v", req.Header)
	}
}

// A server that fails gets the same events again, each attempt with a fresh
// time and signature, until it takes them.
func TestWebhookFailsAndRecovers(t *testing.T) {
	server := newReceiver(t)
	server.answers(status(http.StatusInternalServerError))
	r := start(t, hookConfig(t, server.URL))
	r.Publish(aBlock())
	server.await(t, 3)
	r.Publish(aBlock())
	server.answers(nil)
	eventually(t, "both are delivered", func() bool { return r.delivered(sinkWebhook) == 2 })
	server.mu.Lock()
	defer server.mu.Unlock()
	for i, req := range server.posts[:3] {
		if req.Header.Get("Webhook-Id") != server.posts[0].Header.Get("Webhook-Id") || string(server.bodies[i]) != string(server.bodies[0]) {
			t.Errorf("attempt %d is not the same delivery", i)
		}
		if req.Header.Get("User-Agent") != "uppercut/v1" || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", req.Header)
		}
	}
	if n := testutil.ToFloat64(r.webhook.metrics.failures.WithLabelValues(sinkWebhook)); n < 3 {
		t.Errorf("%v failures are counted, want 3 or more", n)
	}
}

// A server that hangs costs one timeout an attempt and nobody who publishes a
// moment; what does not fit the queue meanwhile is counted.
func TestWebhookHangsAndRecovers(t *testing.T) {
	server := newReceiver(t)
	hang := make(chan struct{})
	server.answers(func(w http.ResponseWriter, _ *http.Request) { <-hang })
	c := hookConfig(t, server.URL)
	c.Webhook.Queue = 10
	r := start(t, c)
	const timeout = 300 * time.Millisecond
	r.webhook.to.Load().target.(*webhook).client.Timeout = timeout
	r.Publish(aBlock())
	server.await(t, 1) // it hangs with the first, which waits no more
	began := time.Now()
	for range 10_000 {
		r.Publish(aBlock())
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("10,000 events took %v to publish", took)
	}
	r.counts(t, map[string]float64{"webhook overflow": 9990, "webhook delivered": 0})
	close(hang)
	server.answers(nil)
	eventually(t, "what waited is delivered", func() bool { return r.delivered(sinkWebhook) == 11 })
	// On a busy machine it may hang more than once before it is let go.
	if got, most := testutil.ToFloat64(r.webhook.metrics.failures.WithLabelValues(sinkWebhook)), 1+time.Since(began)/timeout; got > float64(most) {
		t.Errorf("%v failures, want %d at most", got, most)
	}
}

// A server that is not there at all is tried again until it is.
func TestWebhookComesUpLate(t *testing.T) {
	server := newReceiver(t)
	url := server.URL
	address := server.Listener.Addr().String()
	server.Close()
	r := start(t, hookConfig(t, url))
	r.Publish(aBlock())
	eventually(t, "a failure is counted", func() bool {
		return testutil.ToFloat64(r.webhook.metrics.failures.WithLabelValues(sinkWebhook)) > 0
	})
	late := newReceiver(t)
	late.Close()
	late.Server = httptest.NewUnstartedServer(http.HandlerFunc(late.take))
	late.Listener = listen(t, "tcp", address)
	late.Start()
	t.Cleanup(late.Close)
	eventually(t, "it is delivered", func() bool { return r.delivered(sinkWebhook) == 1 })
}

func TestAnswersOfTheWebhook(t *testing.T) {
	server := newReceiver(t)
	w, err := newWebhook(hookConfig(t, server.URL).Webhook, "v1")
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for name, tc := range map[string]struct {
		answer  func(http.ResponseWriter, *http.Request)
		refused bool          // never again
		after   time.Duration // it says when again
		ok      bool
	}{
		"taken":    {answer: status(http.StatusOK), ok: true},
		"accepted": {answer: status(http.StatusAccepted), ok: true},
		"redirected": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}},
		"forbidden":   {answer: status(http.StatusForbidden)},
		"bad request": {answer: status(http.StatusBadRequest), refused: true},
		"gone":        {answer: status(http.StatusGone), refused: true},
		"too large":   {answer: status(http.StatusRequestEntityTooLarge), refused: true},
		"overloaded": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, after: 7 * time.Second},
		"away for a year": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "31536000")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, after: time.Minute},
		"an endless answer": {answer: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 64<<10)); err != nil {
					return
				}
			}
		}, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			server.answers(tc.answer)
			before := server.count()
			err := w.send(t.Context(), []Event{aBlock()})
			if (err == nil) != tc.ok {
				t.Fatalf("%v", err)
			}
			_, permanent := errors.AsType[*backoff.PermanentError](err)
			if permanent != tc.refused || errors.Is(err, errRefused) != tc.refused {
				t.Errorf("%v: refused %v, want %v", err, permanent, tc.refused)
			}
			if again, _ := errors.AsType[*backoff.RetryAfterError](err); again != nil && again.Duration != tc.after || again == nil && tc.after > 0 {
				t.Errorf("%v, want it again after %v", err, tc.after)
			}
			if tc.after > 0 && !strings.Contains(err.Error(), "Requests") && !strings.Contains(err.Error(), "Unavailable") {
				t.Errorf("%v does not say what the webhook answers", err)
			}
			if n := server.count() - before; n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestWhatIsLostIsCounted(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		server := newReceiver(t)
		server.answers(status(http.StatusBadRequest))
		r := start(t, hookConfig(t, server.URL))
		r.Publish(aBlock())
		server.await(t, 1)
		r.stop()
		r.counts(t, map[string]float64{"webhook refused": 1, "webhook failures": 1, "webhook delivered": 0})
	})
	t.Run("expired", func(t *testing.T) {
		server := newReceiver(t)
		server.answers(status(http.StatusInternalServerError))
		c := hookConfig(t, server.URL)
		c.Webhook.GiveUp = time.Second
		r := start(t, c)
		r.Publish(aBlock())
		eventually(t, "it is given up", func() bool {
			return testutil.ToFloat64(r.webhook.metrics.dropped.WithLabelValues(sinkWebhook, dropExpired)) == 1
		})
	})
	t.Run("long ago", func(t *testing.T) {
		server := newReceiver(t)
		server.answers(status(http.StatusInternalServerError))
		c := hookConfig(t, server.URL)
		r := start(t, c)
		e := aBlock()
		for range 3 * webhookBatch {
			e.Time = lately.Add(-c.Webhook.GiveUp)
			r.Publish(e)
		}
		expired := func() float64 {
			return testutil.ToFloat64(r.webhook.metrics.dropped.WithLabelValues(sinkWebhook, dropExpired))
		}
		eventually(t, "all are given up", func() bool { return expired() == 3*webhookBatch })
		tried := float64(server.count())
		if all := len(server.got(t)); all != 3*webhookBatch {
			t.Errorf("%d events were tried, want each once", all)
		}
		r.counts(t, map[string]float64{"webhook failures": tried})

		e.Time = lately.Add(-c.Webhook.GiveUp / 2)
		r.Publish(e)
		server.await(t, int(tried)+2) // it is tried again
		c.Webhook.GiveUp /= 4
		use, err := r.Prepare(c)
		if err != nil {
			t.Fatal(err)
		}
		use()
		eventually(t, "the new time to give up counts", func() bool { return expired() == 3*webhookBatch+1 })
		r.counts(t, map[string]float64{"webhook delivered": 0})
	})
	t.Run("off", func(t *testing.T) {
		server := newReceiver(t)
		server.answers(status(http.StatusInternalServerError))
		r := start(t, hookConfig(t, server.URL))
		r.Publish(aBlock())
		server.await(t, 1)
		use, err := r.Prepare(DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		use()
		r.Publish(aBlock()) // nobody wants it
		eventually(t, "it is given up", func() bool {
			return testutil.ToFloat64(r.webhook.metrics.dropped.WithLabelValues(sinkWebhook, dropOff)) == 1
		})
		r.stop()
		r.counts(t, map[string]float64{"webhook delivered": 0, "webhook overflow": 0})
	})
}

// The end waits for what is on its way, but not for a receiver that hangs.
func TestEndDelivers(t *testing.T) {
	server := newReceiver(t)
	r := start(t, hookConfig(t, server.URL))
	for range 250 {
		r.Publish(aBlock())
	}
	r.stop()
	r.counts(t, map[string]float64{"webhook delivered": 250})
	if n := len(server.got(t)); n != 250 {
		t.Errorf("%d events have come", n)
	}
	r.Publish(aBlock()) // it has ended: waits for ever, and harms nobody
}

func TestEndDoesNotWaitForEver(t *testing.T) {
	end := func(t *testing.T, r *running) {
		t.Helper()
		began := time.Now()
		r.stop()
		if took := time.Since(began); took > drainTime+2*time.Second {
			t.Errorf("the end took %v", took)
		}
	}
	t.Run("webhook", func(t *testing.T) {
		t.Parallel()
		server := newReceiver(t)
		server.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		var log bytes.Buffer
		r := startLogged(t, hookConfig(t, server.URL), &log)
		for range 3 * webhookBatch {
			r.Publish(aBlock())
		}
		server.await(t, 1)
		end(t, r)
		r.counts(t, map[string]float64{"webhook shutdown": 3 * webhookBatch, "webhook delivered": 0})
		if n := strings.Count(log.String(), "events are lost"); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, log.String())
		}
	})
	t.Run("syslog", func(t *testing.T) {
		t.Parallel()
		l := listen(t, "tcp", "127.0.0.1:0")
		r := start(t, logConfig("tcp://"+l.Addr().String()))
		e := aBlock()
		e.Note, e.Author = strings.Repeat("n", maxText), strings.Repeat("a", maxText)
		e.Cause, e.State = e.Note, e.Author
		const published = 10_000 // 24 MB: more than the two sockets hold
		for range published {
			r.Publish(e)
		}
		conn, err := l.Accept() // and reads nothing
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		taken := -1.0
		eventually(t, "the sockets are full", func() bool {
			before := taken
			taken = r.delivered(sinkSyslog)
			return taken > 0 && taken == before
		})
		end(t, r)
		taken = r.delivered(sinkSyslog)
		r.counts(t, map[string]float64{"syslog shutdown": published - taken})
		if taken >= published {
			t.Error("all was taken: the server is not slow")
		}
	})
}

// A reload sends what waits to the new place.
func TestReloadWhileAReceiverIsDown(t *testing.T) {
	down, up := newReceiver(t), newReceiver(t)
	down.answers(status(http.StatusServiceUnavailable))
	r := start(t, hookConfig(t, down.URL))
	r.Publish(aBlock())
	down.await(t, 1)
	if _, err := r.Prepare(Config{Webhook: WebhookConfig{URL: "nonsense"}}); err == nil {
		t.Error("a bad configuration is taken")
	}
	use, err := r.Prepare(hookConfig(t, up.URL))
	if err != nil {
		t.Fatal(err)
	}
	use()
	eventually(t, "it is delivered", func() bool { return r.delivered(sinkWebhook) == 1 })
	if n := len(up.got(t)); n != 1 {
		t.Errorf("%d events at the new place, want 1", n)
	}
}

func TestKindsAreChosen(t *testing.T) {
	server := newReceiver(t)
	c := hookConfig(t, server.URL)
	c.Webhook.Kinds = []string{"breaker"}
	r := start(t, c)
	r.Publish(aBlock())
	r.Publish(Event{Time: lately, Kind: Breaker, Host: "mx1", State: "open"})
	r.stop()
	if got := server.got(t); len(got) != 1 || got[0].Kind != Breaker {
		t.Errorf("got %+v, want the breaker", got)
	}
}

// What the attacker wrote reaches nobody's screen, and does not grow.
func TestHostileTextIsTame(t *testing.T) {
	hostile := "\x1b[2J\u202egnp.exe<script>\u2028\xff" + strings.Repeat("W", 64<<10)
	server := newReceiver(t)
	r := start(t, hookConfig(t, server.URL))
	e := aBlock()
	e.Rule, e.Reason, e.Host, e.State, e.Cause, e.Author, e.Note = hostile, hostile, hostile, hostile, hostile, hostile, hostile
	e.Evidence = nil
	for range 20 {
		e.Evidence = append(e.Evidence, Evidence{lately, hostile, hostile, hostile})
	}
	r.Publish(e)
	r.stop()
	body := string(server.bodies[0])
	if len(body) > 40_000 || strings.ContainsAny(body, "\x1b\u202e\u2028<") || !strings.Contains(body, `\\x1b[2J\\u202egnp.exe`) {
		t.Errorf("%d bytes: %.1000s", len(body), body)
	}
	if got := server.got(t); len(got) != 1 || len(got[0].Evidence) != maxEvidence {
		t.Errorf("%d events", len(got))
	}
}

func TestSecrets(t *testing.T) {
	long := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65))
	for name, text := range map[string]string{"empty": "", "no prefix": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "short": "whsec_c2hvcnQ=", "no base64": "whsec_%%%", "long": long} {
		if _, err := readSecret(writeFile(t, "secret", text)); err == nil || !strings.Contains(err.Error(), "24 to 64 bytes in base64") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readSecret("/nonexistent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	c := hookConfig(t, "http://192.0.2.1/")
	c.Webhook.CAFile = c.Webhook.SecretFile
	if _, err := New(c, Options{}); err == nil || !strings.Contains(err.Error(), "webhook.ca_file") {
		t.Errorf("a secret as certificate: %v", err)
	}
}

// With a CA of its own, only its servers are trusted.
func TestWebhookOverTLS(t *testing.T) {
	server := newReceiver(t)
	secure := httptest.NewTLSServer(http.HandlerFunc(server.take))
	t.Cleanup(secure.Close)
	c := hookConfig(t, secure.URL)
	stranger, err := newWebhook(c.Webhook, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.send(t.Context(), []Event{aBlock()}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown CA: %v", err)
	}
	c.Webhook.CAFile = writeFile(t, "ca.pem", pemOf(secure.Certificate()))
	known, err := newWebhook(c.Webhook, "v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := known.send(t.Context(), []Event{aBlock()}); err != nil {
		t.Error(err)
	}
}
