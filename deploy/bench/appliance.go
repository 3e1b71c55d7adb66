package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"uppercut/deploy/netns"
)

// Where the contestants listen, each in a namespace of its own.
const (
	syslogAddress = "127.0.0.1:5514"
	tlsAddress    = "127.0.0.1:6514"
	relpAddress   = "127.0.0.1:2514"
	pageAddress   = "127.0.0.1:9514"
)

// appliance is a running uppercut serve in a namespace of its own.
type appliance struct {
	*process
	ns     *netns.Namespace
	client *http.Client
}

// startUppercut starts the appliance on a directory, which may hold a ledger,
// and returns when it is ready.
func (b *bench) startUppercut(ctx context.Context, dir string) (*appliance, error) {
	return b.startBuild(ctx, b.uppercut, dir)
}

// startBuild is startUppercut with a program that may be another build.
func (b *bench) startBuild(ctx context.Context, uppercut, dir string) (*appliance, error) {
	config := filepath.Join(dir, "uppercut.yaml")
	text := fmt.Sprintf(`state_dir: %q
receiver:
  udp: [%q]
  tcp: [%q]
  tls: {listen: [%q], cert_file: %q, key_file: %q}
  relp: [%q]
  max_connections_per_sender: 2000 # all hosts of a contest have one address
enforcer: {max_addresses: 2097152}
web: {listen: %q}
`, dir, syslogAddress, syslogAddress, tlsAddress, b.certFile(), b.keyFile(), relpAddress, pageAddress)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	a := &appliance{ns: ns, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return ns.Dial(ctx, new(net.Dialer), network, address)
		},
	}}}
	a.process, err = launch(ctx, ns, filepath.Join(dir, "log"), uppercut, "serve", "--config", config, "--log.level", "error")
	if err != nil {
		ns.Close()
		return nil, err
	}
	if err := a.await(ctx, 5*time.Millisecond, a.ready); err != nil {
		a.stop()
		return nil, err
	}
	return a, nil
}

// stop ends the appliance and removes its namespace.
func (a *appliance) stop() {
	a.client.CloseIdleConnections()
	a.process.stop()
	a.ns.Close()
}

func (a *appliance) ready() (bool, error) {
	resp, err := a.client.Get("http://" + pageAddress + "/-/ready")
	if err != nil {
		return false, nil //nolint:nilerr // it does not listen yet
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

// figures are the appliance's own, by name.
type figures map[string]*dto.MetricFamily

func (a *appliance) figures() (figures, error) {
	resp, err := a.client.Get("http://" + pageAddress + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}

// sum adds up the series of a counter or gauge whose labels have these values,
// given as name, value, name, value.
func (f figures) sum(name string, labels ...string) float64 {
	total := 0.0
	for _, m := range f[name].GetMetric() {
		if matches(m, labels) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return total
}

func matches(m *dto.Metric, labels []string) bool {
	found := 0
	for _, l := range m.GetLabel() {
		for i := 0; i < len(labels); i += 2 {
			if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
				found++
			}
		}
	}
	return found == len(labels)/2
}
