package prometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"uppercut/deploy/certs"
	"uppercut/deploy/netns"
	"uppercut/metrics"
)

// plant is an uppercut and a Prometheus that scrapes it, in a network namespace
// of their own.
type plant struct {
	t         *testing.T
	namespace *netns.Namespace
	client    *http.Client
	dir       string
	program   string
	uppercut  *exec.Cmd
	lines     int
}

// patience is how long anything may take to happen.
const patience = 90 * time.Second

// newPlant starts both, Prometheus as server with some more global settings. The
// rules are those of this directory, but do not wait before they fire: how long
// they wait is for promtool's tests.
func newPlant(t *testing.T, server, global string) *plant {
	t.Helper()
	p := &plant{t: t, namespace: netns.New(t, "prometheus"), dir: t.TempDir()}
	p.client = inside(p.namespace)
	p.program = buildUppercut(t)
	p.makeCertificates()
	p.write("fw.key", feedKey)
	p.uppercut = p.start("uppercut", p.program, "--config", p.write("uppercut.yaml", configuration), "serve")
	p.until("uppercut answers", func() bool { return p.run(p.program, "--config", p.dir+"/uppercut.yaml", "health") == nil })
	p.until("a bouncer gets the list", p.pull)

	rules := regexp.MustCompile(`(?m)^    for: \S+$`).ReplaceAllString(read(t, "rules.yml"), "    for: 0s")
	p.write("rules.yml", rules)
	p.start("prometheus", server, "--config.file", p.write("prometheus.yml", fmt.Sprintf(scraping, global)), "--web.listen-address=127.0.0.1:9090",
		"--storage.tsdb.path="+filepath.Join(p.dir, "data"), "--web.console.libraries=", "--web.console.templates=")
	p.until("Prometheus has scraped", func() bool { return p.gives(`uppercut_build_info`) })
	return p
}

// configuration expects two hosts, one of which will never log, and is soon
// impatient.
const configuration = `
state_dir: STATE
receiver:
  tls: {listen: ["127.0.0.1:6514"], cert_file: DIR/mx1.pem, key_file: DIR/mx1.key, client_ca_file: DIR/ca.pem, client_crl_file: DIR/crl.pem}
  hosts: [{name: mx1, addresses: [127.0.0.1], silence: 1m}, {name: mx9, addresses: [192.0.2.9]}]
enforcer:
  allow: [192.0.2.0/24]
feed: {listen: "127.0.0.1:9516", clients: [{name: fw, key_file: DIR/fw.key}]}
`

// feedKey is the key of the firewall that gets the block list.
const feedKey = "0123456789abcdef"

// pull asks for the block list as a bouncer does.
func (p *plant) pull() bool {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://127.0.0.1:9516/v1/decisions/stream?startup=true", http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", feedKey)
	resp, err := p.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

const scraping = `
global: {scrape_interval: 1s, evaluation_interval: 1s%s}
rule_files: [rules.yml]
scrape_configs:
- job_name: uppercut
  static_configs: [{targets: ["127.0.0.1:9514"]}]
`

func buildUppercut(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "uppercut")
	run(t, "go", "build", "-o", program, root+"/cmd/uppercut")
	return program
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// write makes a file in the plant's directory and returns its path.
func (p *plant) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer("STATE", filepath.Join(p.dir, "state"), "DIR", p.dir).Replace(text)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// start runs a program in the namespace until the end of the test.
func (p *plant) start(name string, args ...string) *exec.Cmd {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.namespace.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("%s said:\n%.4000s", name, out.String())
		}
	})
	return cmd
}

// run runs a program in the namespace to its end.
func (p *plant) run(args ...string) error {
	_, err := p.output(args...)
	return err
}

func (p *plant) output(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	out, err := p.namespace.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

// until asks again and again.
func (p *plant) until(what string, done func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			p.t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

// gives says whether a query has an answer that is not empty.
func (p *plant) gives(query string) bool {
	ask, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := p.client.Do(ask)
	if err != nil {
		return false // it may be on its way up
	}
	defer answer.Body.Close()
	var got struct {
		Status string
		Error  string
		Data   struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		return false
	}
	if answer.StatusCode == http.StatusBadRequest {
		p.t.Fatalf("Prometheus does not take %s: %s", query, got.Error)
	}
	return got.Status == "success" && len(got.Data.Result) > 0
}

// inside is an HTTP client in the namespace.
func inside(n *netns.Namespace) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return n.Dial(ctx, &net.Dialer{}, network, address)
		},
	}}
}

func (p *plant) fires(alert string) bool {
	return p.gives(`ALERTS{alertname="` + alert + `",alertstate="firing"}`)
}

// log sends what a mail host would say of three clients, from first on, who are
// refused often enough to be blocked; and an accepted mail, a failed login and
// lines that nobody understands.
func (p *plant) log(host string, first int) {
	p.t.Helper()
	now := time.Now().Format(time.RFC3339Nano) // as rsyslog's ForwardFormat has it
	var lines strings.Builder
	for client := first; client < first+3; client++ {
		for range 10 {
			p.lines++
			fmt.Fprintf(&lines, "<22>%s %s sendmail[%d]: ruleset=check_relay, arg1=[198.51.100.%d], arg2=198.51.100.%d, "+
				"relay=[198.51.100.%d], reject=550 5.7.1 Fix reverse DNS\n", now, host, 1000+p.lines, client, client, client)
		}
	}
	p.lines++
	fmt.Fprintf(&lines, "<22>%s %s sendmail[%d]: 7ANCJp7x%06d: from=<a@example.org>, size=1, class=0, nrcpts=1, msgid=<%d@x>, "+
		"proto=ESMTP, daemon=MTA, relay=mail.example.org [192.0.2.7]\n", now, host, 1000+p.lines, p.lines, p.lines)
	fmt.Fprintf(&lines, "<22>%s %s sendmail[%d]: AUTH failure (LOGIN): user not found (-20) SASL(-13): user not found, relay=[198.51.100.200]\n",
		now, host, 1000+p.lines)
	fmt.Fprintf(&lines, "<22>%s %s crond[%d]: nothing of ours\n<-5 no header\n", now, host, p.lines)
	send := p.namespace.CommandContext(p.t.Context(), "bash", "-c", "cat >/dev/tcp/127.0.0.1/5514")
	send.Stdin = strings.NewReader(lines.String())
	if out, err := send.CombinedOutput(); err != nil {
		p.t.Fatalf("send log lines: %v: %s", err, out)
	}
}

// makeCertificates makes a CA and a certificate of mx1, which serves both ends.
func (p *plant) makeCertificates() {
	p.t.Helper()
	authority, err := certs.NewAuthority("test CA")
	if err == nil {
		err = errors.Join(
			authority.WriteCertificate(filepath.Join(p.dir, "ca.pem")),
			authority.WriteRevocations(filepath.Join(p.dir, "crl.pem"), time.Now().Add(30*24*time.Hour)),
			authority.IssueIn(p.dir, time.Now().Add(30*24*time.Hour), "mx1"))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// logOverTLS sends a line as mx1, by its certificate.
func (p *plant) logOverTLS() {
	p.t.Helper()
	send := p.namespace.CommandContext(p.t.Context(), "openssl", "s_client", "-connect", "127.0.0.1:6514",
		"-cert", p.dir+"/mx1.pem", "-key", p.dir+"/mx1.key", "-CAfile", p.dir+"/ca.pem", "-verify_return_error", "-quiet", "-no_ign_eof")
	send.Stdin = strings.NewReader("<22>" + time.Now().Format(time.RFC3339Nano) + " mx1 sendmail[1]: over TLS\n")
	if out, err := send.CombinedOutput(); err != nil {
		p.t.Fatalf("send over TLS: %v\n%s", err, out)
	}
}

// TestWithARealPrometheus lets a real Prometheus scrape a real uppercut under
// attack, draws every dashboard from it, and breaks things until the alerts fire.
func TestWithARealPrometheus(t *testing.T) {
	t.Parallel()
	watch(t, newPlant(t, "prometheus", ""))
}

// TestWithPrometheus3 does the same with the Prometheus that the dashboards' module
// names, which keeps histograms as native ones.
func TestWithPrometheus3(t *testing.T) {
	t.Parallel()
	server := filepath.Join(t.TempDir(), "prometheus")
	run(t, "go", "build", "-C", root+"/deploy/grafana", "-tags", "remove_all_sd", "-o", server, "github.com/prometheus/prometheus/cmd/prometheus")
	watch(t, newPlant(t, server, ", scrape_native_histograms: true"))
}

// watch lets hosts log, and looks at what Prometheus makes of it.
func watch(t *testing.T, p *plant) {
	t.Helper()
	p.log("mx1", 10)
	p.log("mx2", 20)
	p.until("the first blocks are counted", func() bool { return p.gives(`uppercut_blocks_total{rule="burst"} > 0`) })
	p.logOverTLS()
	p.until("the certificate of a mail host is known", func() bool { return p.gives(`uppercut_host_client_certificate_expiry_timestamp_seconds`) })
	p.log("mx1", 30) // and now they grow while Prometheus looks
	p.log("mx2", 40)
	p.until("more blocks are counted", func() bool {
		return p.gives(`sum(increase(uppercut_blocks_total[30s])) > 0`) && p.gives(`sum(rate(uppercut_block_duration_seconds_count[30s])) > 0 or histogram_count(sum(rate(uppercut_block_duration_seconds[30s]))) > 0`)
	})
	t.Run("the metrics are clean", func(t *testing.T) {
		check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		check.Stdin = strings.NewReader(p.scrape())
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	})
	t.Run("their document is current", p.testDocument)
	t.Run("every panel has something to show", p.testPanels)
	t.Run("alerts fire", p.testAlerts)
}

// scrape returns what /metrics says.
func (p *plant) scrape() string {
	p.t.Helper()
	text, err := p.output("bash", "-c",
		`exec 3<>/dev/tcp/127.0.0.1/9514; printf 'GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3; sed '1,/^\r$/d' <&3`)
	if err != nil {
		p.t.Fatalf("scrape: %v: %s", err, text)
	}
	return text
}

var update = flag.Bool("update", false, "rewrite docs/metrics.md instead of comparing it")

// testDocument holds docs/metrics.md against what the appliance exports.
func (p *plant) testDocument(t *testing.T) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(p.scrape()))
	if err != nil {
		t.Fatal(err)
	}
	gather := prometheus.GathererFunc(func() (families []*dto.MetricFamily, _ error) {
		for _, name := range slices.Sorted(maps.Keys(parsed)) {
			families = append(families, parsed[name])
		}
		return families, nil
	})
	var text bytes.Buffer
	text.WriteString("# Metrics\n\nWhat `/metrics` exports besides the metrics of the Go runtime and of the process. " +
		"This page is generated from a running appliance.\n\n")
	if err := metrics.Document(&text, gather); err != nil {
		t.Fatal(err)
	}
	const path = root + "/docs/metrics.md"
	if *update {
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { //nolint:gosec // for everybody to read
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, path), text.String()); diff != "" {
		t.Errorf("%s is not current; run go test ./deploy/prometheus -update (-page +now):\n%s", path, diff)
	}
}

func (p *plant) testPanels(t *testing.T) {
	files, err := filepath.Glob(root + "/deploy/grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	variables := strings.NewReplacer("$__rate_interval", "30s", "$job", ".+", "$instance", ".+")
	for _, file := range files {
		for panel, queries := range panelsOf(t, file) {
			for _, q := range queries {
				// What ends in > 0 is shown only when it has gone wrong.
				q = strings.TrimSuffix(variables.Replace(q), " > 0")
				// A series that has just begun has no rate before its second scrape.
				p.until(filepath.Base(file)+": "+panel+" has something to show: "+q, func() bool { return p.gives(q) })
			}
		}
	}
}

func panelsOf(t *testing.T, file string) map[string][]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, file)), &d); err != nil {
		t.Fatal(err)
	}
	queries := make(map[string][]string)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			queries[panel.Title] = append(queries[panel.Title], target.Expr)
		}
	}
	return queries
}

func (p *plant) testAlerts(t *testing.T) {
	p.until("a host that never logged is missed", func() bool { return p.fires("UppercutHostNeverSeen") })
	for _, alert := range []string{"UppercutDown", "UppercutNotReady", "UppercutNotEnforcing", "UppercutSuspended"} {
		if p.fires(alert) {
			t.Errorf("%s fires though all is well", alert)
		}
	}
	if err := p.run(p.program, "--config", p.dir+"/uppercut.yaml", "flush", "--note", "test"); err != nil {
		t.Error(err)
	}
	p.until("a flush is noticed", func() bool { return p.fires("UppercutSuspended") })
	if err := p.run(p.program, "--config", p.dir+"/uppercut.yaml", "resume"); err != nil {
		t.Error(err)
	}
	p.testSeizedTable(t)
	p.write("uppercut.yaml", configuration+"detector: {rules: nonsense}\n")
	_ = p.uppercut.Process.Signal(syscall.SIGHUP)
	p.until("a bad configuration is noticed", func() bool { return p.fires("UppercutConfigReloadFailed") })
	p.until("a silent host is missed", func() bool { return p.fires("UppercutHostSilent") })
	_ = p.uppercut.Process.Signal(os.Interrupt)
	p.until("its end is noticed", func() bool { return p.fires("UppercutDown") })
}

// testSeizedTable lets another program flush the table and keep it, so that no
// repair can put it back, and lets go of it again.
func (p *plant) testSeizedTable(t *testing.T) {
	t.Helper()
	nft := p.namespace.CommandContext(t.Context(), "nft", "-i")
	session, err := nft.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	nft.Stdout, nft.Stderr = t.Output(), t.Output()
	if err := nft.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(session, "delete table inet uppercut; add table inet uppercut { flags owner; }\n"); err != nil {
		t.Error(err)
	}
	p.until("a table that cannot be repaired is noticed", func() bool { return p.fires("UppercutNotEnforcing") })
	_ = session.Close() // and with it goes the table
	_ = nft.Wait()
	p.until("uppercut has put the table back", func() bool { return p.gives(`min(uppercut_firewall_enforcing) == 1`) })
	if err := p.run(p.program, "--config", p.dir+"/uppercut.yaml", "firewall", "verify"); err != nil {
		t.Errorf("the kernel does not agree with the list: %v", err)
	}
}
