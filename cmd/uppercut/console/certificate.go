package console

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

// webCertificate exports when the certificate of the web listener ends. Like
// the exporter-toolkit, which serves it, it reads the files each time.
type webCertificate struct{ configFile string }

var certificateDesc = prometheus.NewDesc("uppercut_web_certificate_expiry_timestamp_seconds",
	"Not-after time of the certificate of the web listener.", nil, nil)

// Describe implements prometheus.Collector.
func (c webCertificate) Describe(ch chan<- *prometheus.Desc) { ch <- certificateDesc }

// Collect implements prometheus.Collector. Without a certificate, or with one
// that cannot be read, there is nothing to export.
func (c webCertificate) Collect(ch chan<- prometheus.Metric) {
	certificate, err := c.read()
	if err != nil || certificate == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(certificateDesc, prometheus.GaugeValue, float64(certificate.Leaf.NotAfter.Unix()))
}

// read returns nil for a configuration without a certificate.
func (c webCertificate) read() (*tls.Certificate, error) {
	text, err := os.ReadFile(c.configFile)
	if err != nil {
		return nil, err
	}
	var config struct {
		TLS struct {
			CertFile string `yaml:"cert_file"`
			KeyFile  string `yaml:"key_file"`
		} `yaml:"tls_server_config"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("read web configuration %q: %w", c.configFile, err)
	}
	if config.TLS.CertFile == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.resolve(config.TLS.CertFile), c.resolve(config.TLS.KeyFile))
	return &certificate, err
}

// resolve takes a file's name as relative to the configuration's.
func (c webCertificate) resolve(file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(c.configFile), file)
}
