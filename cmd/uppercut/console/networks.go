package console

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Network is what local files say of an address: for people to read, never for
// judging.
type Network struct {
	// ASN is the number of the autonomous system and Organization who runs it; 0
	// and "" if the files do not say.
	ASN          uint   `json:"asn,omitempty"`
	Organization string `json:"organization,omitempty"`
	// Country is a code of ISO 3166-1.
	Country string `json:"country,omitempty"`
}

// String is "AS64500 Example Ltd, DE".
func (n Network) String() string {
	text := ""
	if n.ASN != 0 {
		text = fmt.Sprintf("AS%d", n.ASN)
	}
	for _, more := range []struct{ text, before string }{{n.Organization, " "}, {n.Country, ", "}} {
		switch {
		case more.text == "":
		case text == "":
			text = more.text
		default:
			text += more.before + more.text
		}
	}
	return text
}

// maxNetworkFile bounds a file of networks, in bytes: it is held in memory.
const maxNetworkFile = 256 << 20

// networkPause is how often the files are looked at, at most.
const networkPause = 10 * time.Second

// networks knows network and country of addresses from files in MaxMind's DB
// format 2.0 (GeoLite2, IP2Location and others). It asks nobody else. It is safe
// for concurrent use.
type networks struct {
	logger *slog.Logger

	mu     sync.Mutex
	files  []networkFile
	looked time.Time
}

// networkFile is a file as it was when it was last read.
type networkFile struct {
	path     string
	modified time.Time
	size     int64
	reader   *maxminddb.Reader // nil if it could not be read
}

func newNetworks(paths []string, logger *slog.Logger) *networks {
	n := &networks{logger: logger}
	for _, path := range paths {
		n.files = append(n.files, networkFile{path: path})
	}
	return n
}

// openNetworks reads a whole file: one that is written over while it is mapped
// into memory would end the process.
func openNetworks(path string) (*maxminddb.Reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxNetworkFile {
		return nil, fmt.Errorf("read %q: not a file of at most %d bytes", path, maxNetworkFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return r, nil
}

// of says what the files say of a, nil if they say nothing.
func (n *networks) of(a netip.Addr) *Network {
	if n == nil || len(n.files) == 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.looked) > networkPause {
		n.looked = now
		for i := range n.files {
			n.lookAt(&n.files[i])
		}
	}
	var found Network
	for _, f := range n.files {
		if f.reader != nil {
			found.fill(f.reader.Lookup(a))
		}
	}
	if found == (Network{}) {
		return nil
	}
	return &found
}

// lookAt reads f again if it has changed. One that cannot be read stays as it
// was.
func (n *networks) lookAt(f *networkFile) {
	info, err := os.Stat(f.path)
	if err == nil && info.ModTime().Equal(f.modified) && info.Size() == f.size {
		return
	}
	r, err := openNetworks(f.path)
	if info != nil {
		f.modified, f.size = info.ModTime(), info.Size()
	}
	if err != nil {
		n.logger.Warn("cannot read the networks file", "file", f.path, "error", err)
		return
	}
	f.reader = r
}

// fill takes what a file says of an address, in the fields of GeoLite2 and
// IP2Location.
func (n *Network) fill(r maxminddb.Result) {
	var record struct {
		ASN          uint   `maxminddb:"autonomous_system_number"`
		Organization string `maxminddb:"autonomous_system_organization"`
		Country      struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Registered struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"registered_country"`
	}
	if !r.Found() || r.Decode(&record) != nil {
		return
	}
	if record.ASN != 0 {
		n.ASN, n.Organization = record.ASN, record.Organization
	}
	if record.Country.Code == "" {
		record.Country = record.Registered
	}
	if record.Country.Code != "" {
		n.Country = record.Country.Code
	}
}
