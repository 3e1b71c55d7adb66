package outbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// webhookBatch is how many events one post holds at most.
const webhookBatch = 100

// errRefused says that the receiver will never take these events.
var errRefused = errors.New("refused")

// webhook posts events, signed as https://www.standardwebhooks.com says, so
// that receivers verify them with a library of their language.
type webhook struct {
	url    string
	agent  string
	secret []byte
	client *http.Client
}

// post is the body of a request.
type post struct {
	Events []Event `json:"events"`
}

func newWebhook(c WebhookConfig, version string) (*webhook, error) {
	secret, err := readSecret(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 1
	if c.CAFile != "" {
		pool, err := readCertificates(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &webhook{
		url: c.URL, agent: "uppercut/" + version, secret: secret,
		client: &http.Client{
			Transport: transport, Timeout: c.Timeout,
			// What is signed for one place is not sent to another.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// readSecret reads a secret such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.
func readSecret(file string) ([]byte, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return nil, err
	}
	encoded, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "whsec_")
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, fmt.Errorf("%s does not contain whsec_ followed by 24 to 64 bytes in base64", file)
	}
	return secret, nil
}

func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s contains no PEM certificate", file)
	}
	return pool, nil
}

// neverTaken are the answers to what is wrong with the post itself.
var neverTaken = []int{http.StatusBadRequest, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}

// send implements target.
func (w *webhook) send(ctx context.Context, batch []Event) error {
	body, err := json.Marshal(post{batch})
	if err != nil {
		return backoff.Permanent(fmt.Errorf("%w: %w", errRefused, err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(fmt.Errorf("%w: %w", errRefused, err))
	}
	w.sign(req, batch[0].ID, time.Now(), body)
	res, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // keeps the connection, unless it answers with a book
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case slices.Contains(neverTaken, res.StatusCode):
		return backoff.Permanent(fmt.Errorf("%w: the webhook answered %s", errRefused, res.Status))
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return fmt.Errorf("the webhook answered %s: %w", res.Status, backoff.RetryAfter(min(seconds, int(lastPause/time.Second))))
	}
	return fmt.Errorf("the webhook answered %s", res.Status)
}

// sign sets the headers that say whose a post is, and that it is fresh.
func (w *webhook) sign(req *http.Request, id string, now time.Time, body []byte) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, w.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.agent)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func (w *webhook) close() { w.client.CloseIdleConnections() }
