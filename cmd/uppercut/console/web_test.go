package console

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// request is one that a test sends to a page.
type request struct {
	method, path string
	body         string
	anonymous    bool
	header       http.Header
	host         string
}

// send sends q to r's web listener, as the operator unless it is anonymous.
func (r *running) send(t *testing.T, q request) (status int, body string) {
	t.Helper()
	if q.method == "" {
		q.method = "GET"
	}
	req, err := http.NewRequestWithContext(t.Context(), q.method, "http://"+r.Addr().String()+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.header != nil {
		req.Header = q.header.Clone()
	}
	req.Host = q.host
	if !q.anonymous {
		req.SetBasicAuth(operatorName, operatorPassword)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// token reads the token of a confirmation page.
func (r *running) token(t *testing.T, confirm string) string {
	t.Helper()
	_, body := r.send(t, request{path: confirm})
	m := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no token on %s:\n%s", confirm, body)
	}
	return m[1]
}

var (
	asForm = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	asJSON = http.Header{"Content-Type": {"application/json"}}
)

func with(h http.Header, key, value string) http.Header {
	h = h.Clone()
	h.Set(key, value)
	return h
}

func TestWithoutUsersThePageShowsCountsOnly(t *testing.T) {
	f := fleet()
	r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0"}, f)
	fill(r.Console, time.Now())
	for _, path := range []string{
		"/blocks", "/address?addr=203.0.113.9", "/senders", "/samples", "/guards", "/config", "/confirm?do=unblock&prefix=203.0.113.9",
		"/api/v1/blocks", "/api/v1/why?addr=203.0.113.9", "/api/v1/allow", "/api/v1/senders", "/api/v1/samples", "/api/v1/breakers",
		"/api/v1/top?by=source", "/api/v1/config", "/api/v1/firewall",
	} {
		if status, body := r.send(t, request{path: path, anonymous: true}); status != http.StatusForbidden || strings.Contains(body, "192.0.2.") {
			t.Errorf("GET %s: %d, want 403 and no address", path, status)
		}
	}
	for _, path := range []string{"/act", "/-/reload", "/api/v1/blocks", "/api/v1/flush", "/api/v1/reload"} {
		if status, _ := r.send(t, request{method: "POST", path: path, body: `{}`, anonymous: true, header: asJSON}); status != http.StatusForbidden {
			t.Errorf("POST %s: %d, want 403", path, status)
		}
		if status, _ := r.send(t, request{method: "POST", path: path, body: `{}`, header: asJSON}); status != http.StatusForbidden {
			t.Errorf("POST %s with a made-up user: %d, want 403", path, status)
		}
	}
	status, body := r.send(t, request{path: "/", anonymous: true})
	if status != 200 || !strings.Contains(body, "Counts only") || !strings.Contains(body, "3,120,778") {
		t.Errorf("GET /: %d, want counts and why there is no more", status)
	}
	if m := regexp.MustCompile(`\b(198\.51|203\.0|192\.0)\.\d+\.\d+|2001:db8`).FindString(body); m != "" {
		t.Errorf("GET /: shows address %s", m)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/health", "/metrics", "/-/healthy", "/-/ready", "/assets/style.css"} {
		if status, _ := r.send(t, request{path: path, anonymous: true}); status != 200 {
			t.Errorf("GET %s: %d, want 200", path, status)
		}
	}
	if did := f.done(); len(did) > 0 {
		t.Errorf("done without a user: %v", did)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	f := fleet()
	r := startPage(t, f)
	unblock := "/confirm?do=unblock&prefix=203.0.113.9"
	form := func(token string) string {
		return url.Values{"do": {"unblock"}, "prefix": {"203.0.113.9/32"}, "token": {token}}.Encode()
	}
	good := r.token(t, unblock)
	order := `{"prefixes":["203.0.113.9"]}`
	wrong := http.Header{}
	wrongRequest := &http.Request{Header: wrong}
	wrongRequest.SetBasicAuth(operatorName, "wrong horse")
	for _, tc := range []struct {
		name string
		request
		want int
	}{
		{"no password", request{path: "/", anonymous: true}, 401},
		{"wrong password", request{path: "/blocks", anonymous: true, header: wrong}, 401},
		{"metrics without password", request{path: "/metrics", anonymous: true}, 401},
		{"foreign host name", request{path: "/blocks", host: "evil.example"}, 403},
		{"foreign host name with our port", request{path: "/", host: "evil.example:9514"}, 403},
		{"no token", request{method: "POST", path: "/act", body: form(""), header: asForm}, 403},
		{"token of another user", request{method: "POST", path: "/act", body: form(r.tokens.of("bob")), header: asForm}, 403},
		{"post of another origin", request{method: "POST", path: "/act", body: form(good), header: with(asForm, "Origin", "https://evil.example")}, 403},
		{"post of another site", request{method: "POST", path: "/act", body: form(good), header: with(asForm, "Sec-Fetch-Site", "cross-site")}, 403},
		{"post of no origin that can be told", request{method: "POST", path: "/act", body: form(good), header: with(asForm, "Origin", "null")}, 403},
		{"cross-site order", request{method: "POST", path: "/api/v1/unblock", body: order, header: with(asJSON, "Sec-Fetch-Site", "cross-site")}, 403},
		{"order sent as a form", request{method: "POST", path: "/api/v1/unblock", body: order, header: with(asJSON, "Content-Type", "text/plain")}, 400},
		{"cross-site reload", request{method: "POST", path: "/-/reload", header: http.Header{"Origin": {"https://evil.example"}}}, 403},
		{"reload by GET", request{path: "/-/reload"}, 404},
		{"action by GET", request{path: "/act?" + form(good)}, 404},
	} {
		if got, body := r.send(t, tc.request); got != tc.want {
			t.Errorf("%s: %d, want %d: %.200s", tc.name, got, tc.want, body)
		}
	}
	if did := f.done(); len(did) > 0 {
		t.Errorf("done all the same: %v", did)
	}
	for _, cause := range []string{deniedHost, deniedToken, deniedOrigin} {
		if testutil.ToFloat64(r.metrics.denied.WithLabelValues(cause)) == 0 {
			t.Errorf("uppercut_console_denied_total{cause=%q} has not counted", cause)
		}
	}
	// The same with everything right, or the above shows nothing.
	if status, body := r.send(t, request{method: "POST", path: "/act", body: form(good), header: with(asForm, "Origin", "http://"+r.Addr().String())}); status != 303 {
		t.Errorf("right form: %d: %.200s", status, body)
	}
	if status, _ := r.send(t, request{method: "POST", path: "/api/v1/unblock", body: order, header: asJSON}); status != 200 {
		t.Errorf("right order: %d", status)
	}
	if status, _ := r.send(t, request{method: "POST", path: "/-/reload"}); status != 200 {
		t.Errorf("right reload: %d", status)
	}
	want := []string{"unblock [203.0.113.9/32] by anna: ", "unblock [203.0.113.9/32] by anna: ", "reload by anna: "}
	if got := f.done(); !slices.Equal(got, want) {
		t.Errorf("done: %q, want %q", got, want)
	}
}

func TestUsersGoneFromTheFileAreGoneAtOnce(t *testing.T) {
	file := webConfigFile(t)
	r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: file}, fleet())
	if status, _ := r.send(t, request{path: "/blocks"}); status != 200 {
		t.Fatalf("with the user: %d", status)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _ := r.send(t, request{path: "/blocks"}); status != 403 {
		t.Errorf("after the file was emptied: %d, want 403", status)
	}
	if status, _ := r.send(t, request{path: "/"}); status != 200 {
		t.Errorf("counts after the file was emptied: %d, want 200", status)
	}
}

func TestReloadSaysWhyTheFileWasRefused(t *testing.T) {
	f := fleet()
	f.fail = fmt.Errorf("%w: rules[1].window: too short", ErrInvalid)
	r := startPage(t, f)
	if status, body := r.send(t, request{method: "POST", path: "/-/reload"}); status != 400 || !strings.Contains(body, "rules[1].window") {
		t.Errorf("%d %q", status, body)
	}
}

// TestEvidenceNeedsALineThatNobodyReads asks as if from another machine, which
// needs no second machine: what counts are the two ends of the connection.
func TestEvidenceNeedsALineThatNobodyReads(t *testing.T) {
	c := newConsole(Config{ConfigFile: webConfigFile(t)}, Options{Appliance: fleet()})
	for _, tc := range []struct {
		name, local, remote string
		tls                 bool
		trusted             bool
	}{
		{"loopback", "127.0.0.1:9514", "127.0.0.1:40000", false, true},
		{"loopback over IPv6", "[::1]:9514", "[::1]:40000", false, true},
		{"another machine", "192.0.2.1:9514", "192.0.2.7:40000", false, false},
		{"this machine by its outer address", "192.0.2.1:9514", "192.0.2.1:40000", false, false},
		{"another machine with TLS", "192.0.2.1:9514", "192.0.2.7:40000", true, true},
	} {
		r := httptest.NewRequest("GET", "http://192.0.2.1/blocks", nil)
		r.SetBasicAuth(operatorName, operatorPassword)
		r.RemoteAddr = tc.remote
		local, err := net.ResolveTCPAddr("tcp", tc.local)
		if err != nil {
			t.Fatal(err)
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(local)))
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if got := c.webCaller(r); got.name != operatorName || got.trusted != tc.trusted {
			t.Errorf("%s: %+v, want trusted %t", tc.name, got, tc.trusted)
		}
	}
}

func TestKnowsHost(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	c := &Console{config: Config{Listen: "gw.example.net:9514", Hosts: []string{"mail-gw.example.org"}}}
	for host, want := range map[string]bool{
		"127.0.0.1:9514": true, "[::1]:9514": true, "203.0.113.5": true, "localhost:9514": true, "gw.example.net": true,
		"MAIL-GW.example.org:443": true, own: true, own + ":9514": true,
		"evil.example": false, "evil.example:9514": false, "localhost.evil.example": false, "": false, "127.0.0.1.evil.example": false,
		"[fe80::1]": true, "[fe80::1%25evil.example]": false, "[fe80::1%evil.example]:9514": false,
	} {
		if got := c.knowsHost(host); got != want {
			t.Errorf("Host %q: %t, want %t", host, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	r := startPage(t, fleet())
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(operatorName, operatorPassword)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	csp := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", csp)
	}
	for key, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := res.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestPageOverTLS(t *testing.T) {
	dir := t.TempDir()
	pool := writeCertificate(t, dir)
	file := filepath.Join(dir, "web.yml")
	users, err := os.ReadFile(webConfigFile(t))
	if err != nil {
		t.Fatal(err)
	}
	text := "tls_server_config: {cert_file: web.crt, key_file: web.key}\n" + string(users)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: file}, fleet())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+r.Addr().String()+"/blocks", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(operatorName, operatorPassword)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// writeCertificate makes web.crt and web.key in dir and returns who trusts them.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := errors.Join(
		os.WriteFile(filepath.Join(dir, "web.crt"), crt, 0o600),
		os.WriteFile(filepath.Join(dir, "web.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(crt)
	return pool
}

func TestConfigValidate(t *testing.T) {
	for _, tc := range []struct {
		config Config
		want   string // "" for none
	}{
		{DefaultConfig(), ""},
		{Config{}, ""},
		{Config{Listen: ":9514", MaxConnections: 8, Hosts: []string{"gw.example.net"}}, ""},
		{Config{Listen: "9514", MaxConnections: 8}, `listen: "9514" is not an address with a port, as 127.0.0.1:9514 or [::1]:9514`},
		{Config{Listen: "127.0.0.1:", MaxConnections: 8}, `listen: "127.0.0.1:" is not an address with a port, as 127.0.0.1:9514 or [::1]:9514`},
		{Config{Listen: ":1", MaxConnections: 64, Hosts: []string{"a", "https://b"}}, `hosts[1]: "https://b" is not a host name without scheme and port`},
		{Config{Listen: ":1", MaxConnections: 7}, "max_connections: 7 is not between 8 and 10000"},
		{Config{ConfigFile: "web.yml"}, "config_file: there is no listener to use it (listen is empty)"},
	} {
		got := ""
		if err := tc.config.Validate(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.config, got, tc.want)
		}
	}
}

func TestBadWebConfigurationIsRefusedAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	if err := os.WriteFile(file, []byte("basic_auth_user: {anna: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: file}, Options{Appliance: newFake(), StateDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "basic_auth_user") {
		t.Errorf("New: %v, want an error that names the key", err)
	}
}

// TestFollowersAreCutOffWithTheirRight: a page that is open and follows ends
// when its user is taken out, or gets another password, or users come to be
// asked for; that of another user goes on.
func TestFollowersAreCutOffWithTheirRight(t *testing.T) {
	users, err := os.ReadFile(webConfigFile(t))
	if err != nil {
		t.Fatal(err)
	}
	with := string(users)
	other := strings.ReplaceAll(string(users), operatorName, "bob")
	changed := strings.Replace(with, "$2a$04$", "$2a$04$A", 1)
	for _, tc := range []struct {
		name, before, after string
		ends                bool
	}{
		{"taken out", with, other, true},
		{"another password", with, changed, true},
		{"file emptied", with, "", true},
		{"file broken", with, "basic_auth_users: [", true},
		{"users come to be asked for", "", with, true},
		{"another user comes", with, with + strings.TrimPrefix(other, "basic_auth_users:\n"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "web.yml")
			if err := os.WriteFile(file, []byte(tc.before), 0o600); err != nil {
				t.Fatal(err)
			}
			r := start(t, Config{MaxConnections: 64, Listen: "127.0.0.1:0", ConfigFile: file}, fleet())
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+r.Addr().String()+"/live", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth(operatorName, operatorPassword)
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if _, err := io.ReadFull(res.Body, make([]byte, 100)); err != nil || res.StatusCode != 200 {
				t.Fatalf("status %d, %v", res.StatusCode, err)
			}
			if err := os.WriteFile(file, []byte(tc.after), 0o600); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, res.Body); close(ended) }()
			select {
			case <-ended:
				if !tc.ends {
					t.Error("ended")
				}
			case <-time.After(2 * liveInterval):
				if tc.ends {
					t.Error("still follows")
				}
			}
		})
	}
}
