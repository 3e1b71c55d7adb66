package console

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestWebCertificateExpiry(t *testing.T) {
	const metric = "uppercut_web_certificate_expiry_timestamp_seconds"
	dir := t.TempDir()
	writeCertificate(t, dir)
	config := filepath.Join(dir, "web.yml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tls_server_config: {cert_file: web.crt, key_file: web.key}\n")
	registry := prometheus.NewPedanticRegistry()
	newConsole(Config{ConfigFile: config}, Options{Appliance: newFake(), Registerer: registry})
	expiry := func() float64 {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == metric {
					return m.GetGauge().GetValue()
				}
			}
		}
		return 0
	}
	certificate, err := webCertificate{config}.read()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := expiry(), float64(certificate.Leaf.NotAfter.Unix()); got != want || want == 0 {
		t.Errorf("expiry %v, want %v", got, want)
	}
	for name, text := range map[string]string{"without TLS": "{}\n", "no file": "tls_server_config: {cert_file: /nonexistent, key_file: web.key}\n", "no YAML": "}"} {
		write(text)
		if got := expiry(); got != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := testutil.CollectAndCount(webCertificate{"/nonexistent"}); n != 0 {
		t.Errorf("%d certificates of no configuration", n)
	}
}
