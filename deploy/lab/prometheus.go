package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// prometheusAddress is where Prometheus listens, inside the gateway.
const prometheusAddress = "127.0.0.1:9090"

const scrapeConfig = `global:
  scrape_interval: 1s
scrape_configs:
  - job_name: uppercut
    basic_auth: {username: lab, password: lab}
    static_configs:
      - targets: ["` + webAddress + `"]
`

// startPrometheus runs a Prometheus on the gateway that scrapes uppercut, and
// returns when it has seen counters of every mail host, while they are still 0:
// what was never seen at 0 has no rate. The fleet must be up.
func (l *Lab) startPrometheus() error {
	file := filepath.Join(l.Dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(scrapeConfig), 0o644); err != nil {
		return err
	}
	cmd := l.net.gateway.Command("prometheus", "--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(l.Dir, "prometheus"),
		"--web.listen-address="+prometheusAddress)
	p, err := start("prometheus", cmd, filepath.Join(l.Dir, "prometheus.log"))
	if err != nil {
		return err
	}
	l.processes = append(l.processes, p)
	return p.await(30*time.Second, func() bool {
		seen, err := l.Query(`count by (host) (uppercut_rejections_total)`)
		return err == nil && len(seen) >= len(hosts)
	})
}

// client speaks HTTP inside the gateway.
func (l *Lab) client() *http.Client {
	dial := func(ctx context.Context, network, to string) (net.Conn, error) {
		return l.net.gateway.Dial(ctx, new(net.Dialer), network, to)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// Sample is one element of an instant vector.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates PromQL at the time of the last scrape: a rate over a range
// that ends with a sample is not extrapolated.
func (l *Lab) Query(promQL string) ([]Sample, error) {
	scraped, err := l.query(`timestamp(up{job="uppercut"})`, time.Now())
	if err != nil {
		return nil, err
	}
	if len(scraped) != 1 {
		return nil, errors.New("uppercut is not scraped")
	}
	return l.query(promQL, time.UnixMilli(int64(scraped[0].Value*1000)))
}

func (l *Lab) query(promQL string, at time.Time) ([]Sample, error) {
	parameters := url.Values{"query": {promQL}, "time": {at.UTC().Format(time.RFC3339Nano)}}
	response, err := l.client().Get("http://" + prometheusAddress + "/api/v1/query?" + parameters.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("query %s: %w", promQL, err)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("query %s: %s", promQL, answer.Error)
	}
	samples := make([]Sample, 0, len(answer.Data.Result))
	for _, element := range answer.Data.Result {
		text, _ := element.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", promQL, err)
		}
		samples = append(samples, Sample{Labels: element.Metric, Value: value})
	}
	return samples, nil
}
