package receiver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrape exports what is asked of others at each scrape: of the kernel, of the
// certificates, of the fleet.
type scrape struct {
	receiver                        *Receiver
	kernelDrops, bufferSize         *prometheus.Desc
	certificateExpiry, listDue      *prometheus.Desc
	hostMessages, hostLast          *prometheus.Desc
	hostSkew, hostCertificateExpiry *prometheus.Desc
	hostExpected, hostSilence       *prometheus.Desc
	refused                         *prometheus.Desc
}

func newScrape(r *Receiver) *scrape {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &scrape{
		receiver: r,
		kernelDrops: desc("uppercut_udp_kernel_drops_total",
			"Datagrams the kernel dropped because the socket receive buffer was full.", "listener"),
		bufferSize: desc("uppercut_udp_receive_buffer_bytes",
			"Effective socket receive buffer size.", "listener"),
		certificateExpiry: desc("uppercut_tls_certificate_expiry_timestamp_seconds",
			"Not-after time of the certificate in use; role is server or client_ca.", "listener", "role"),
		listDue: desc("uppercut_tls_revocation_list_next_update_timestamp_seconds",
			"Time at which the first of the revocation lists is due to be replaced.", "listener"),
		hostMessages: desc("uppercut_host_messages_total",
			"Syslog messages received per sending host.", "host"),
		hostLast: desc("uppercut_host_last_message_timestamp_seconds",
			"Receive time of the newest message from this host.", "host"),
		hostSkew: desc("uppercut_host_clock_skew_seconds",
			"Receive time minus message timestamp of the newest message that carried a timestamp; negative when the host clock is ahead.", "host"),
		hostCertificateExpiry: desc("uppercut_host_client_certificate_expiry_timestamp_seconds",
			"Not-after time of the client certificate this host last presented.", "host"),
		hostExpected: desc("uppercut_host_expected",
			"1 for every host listed in the configuration.", "host"),
		hostSilence: desc("uppercut_host_silence_threshold_seconds",
			"Configured silence after which this host counts as silent.", "host"),
		refused: desc("uppercut_refused_senders",
			"Addresses that tried to send three times or more, last within an hour, and are refused; reason is acl, reverse_path, tls_handshake, tls_untrusted, tls_expired, tls_name or tls_revoked.", "reason"),
	}
}

// Describe implements prometheus.Collector.
func (s *scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		s.kernelDrops, s.bufferSize, s.certificateExpiry, s.listDue, s.hostMessages, s.hostLast,
		s.hostSkew, s.hostCertificateExpiry, s.hostExpected, s.hostSilence, s.refused,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *scrape) Collect(ch chan<- prometheus.Metric) {
	s.collectSockets(ch)
	s.collectCertificates(ch)
	s.collectHosts(ch)
	s.collectRefusals(ch)
}

func (s *scrape) collectRefusals(ch chan<- prometheus.Metric) {
	count := s.receiver.refusals.persist(time.Now())
	for reason := range refusalWords {
		ch <- prometheus.MustNewConstMetric(s.refused, prometheus.GaugeValue, float64(count[reason]), reason)
	}
}

func (s *scrape) collectSockets(ch chan<- prometheus.Metric) {
	var drops, buffer uint64
	for _, socket := range s.receiver.datagrams {
		memory := socket.memory()
		drops += uint64(memory.drops)
		buffer += uint64(memory.buffer)
	}
	if len(s.receiver.datagrams) > 0 {
		ch <- prometheus.MustNewConstMetric(s.kernelDrops, prometheus.CounterValue, float64(drops), UDP.String())
		ch <- prometheus.MustNewConstMetric(s.bufferSize, prometheus.GaugeValue, float64(buffer), UDP.String())
	}
}

func (s *scrape) collectCertificates(ch chan<- prometheus.Metric) {
	if s.receiver.certificates == nil {
		return
	}
	state := s.receiver.certificates.current()
	gaugeTime(ch, s.certificateExpiry, state.serverExpiry, TLS.String(), "server")
	gaugeTime(ch, s.certificateExpiry, state.authority, TLS.String(), "client_ca")
	if state.revoked != nil {
		gaugeTime(ch, s.listDue, state.revoked.nextUpdate, TLS.String())
	}
}

// gaugeTime exports t in seconds since 1970, unless it is zero.
func gaugeTime(ch chan<- prometheus.Metric, d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(t.UnixMilli())/1000, labels...)
	}
}

func (s *scrape) collectHosts(ch chan<- prometheus.Metric) {
	f := s.receiver.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.config {
		ch <- prometheus.MustNewConstMetric(s.hostExpected, prometheus.GaugeValue, 1, h.Name)
		ch <- prometheus.MustNewConstMetric(s.hostSilence, prometheus.GaugeValue, h.silence().Seconds(), h.Name)
	}
	for name, h := range f.hosts {
		ch <- prometheus.MustNewConstMetric(s.hostMessages, prometheus.CounterValue, float64(h.messages), name)
		gaugeTime(ch, s.hostLast, h.last, name)
		gaugeTime(ch, s.hostCertificateExpiry, h.expires, name)
		if h.hasSkew {
			ch <- prometheus.MustNewConstMetric(s.hostSkew, prometheus.GaugeValue, h.skew.Seconds(), name)
		}
	}
}
