package receiver

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"slices"
	"time"
)

// revocations are the certificate revocation lists of a file (RFC 5280,
// section 5), by the raw name of who issued them.
type revocations struct {
	// An authority that has changed its key and kept its name has several.
	lists map[string][]*revocationList
	// nextUpdate is when the first list that says so is due to be replaced.
	nextUpdate time.Time
}

// revocationList is one list; revoked holds the serial numbers as decimal text.
type revocationList struct {
	list    *x509.RevocationList
	revoked map[string]bool
}

// readRevocations reads the lists in a file, PEM or one in DER. Those of the
// authorities must be signed by them.
func readRevocations(name string, authorities []*x509.Certificate) (*revocations, error) {
	const key = "tls.client_crl_file"
	data, err := readFile(key, name)
	if err != nil {
		return nil, err
	}
	r := &revocations{lists: make(map[string][]*revocationList)}
	for _, der := range derBlocks(data, "X509 CRL") {
		if err := r.add(der, authorities); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", key, name, err)
		}
	}
	for _, a := range authorities {
		if r.of(a) == nil {
			return nil, fmt.Errorf("%s: %s has no list of the authority %q in client_ca_file: ask the authority for one; an empty list is enough", key, name, a.Subject)
		}
	}
	r.setNextUpdate()
	return r, nil
}

// setNextUpdate looks at the lists that count.
func (r *revocations) setNextUpdate() {
	for _, lists := range r.lists {
		for _, known := range lists {
			if due := known.list.NextUpdate; !due.IsZero() && (r.nextUpdate.IsZero() || due.Before(r.nextUpdate)) {
				r.nextUpdate = due
			}
		}
	}
}

// derBlocks returns the PEM blocks of one type in data, or data itself where it
// is no PEM.
func derBlocks(data []byte, kind string) (blocks [][]byte) {
	block, rest := pem.Decode(data)
	if block == nil && len(data) > 0 {
		return [][]byte{data}
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			blocks = append(blocks, block.Bytes)
		}
	}
	return blocks
}

func (r *revocations) add(der []byte, authorities []*x509.Certificate) error {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("not a revocation list: %w", err)
	}
	if err := complete(list); err != nil {
		return fmt.Errorf("the list of %q: %w", list.Issuer, err)
	}
	if err := signedByAny(list, authorities); err != nil {
		return fmt.Errorf("the list of %q: %w", list.Issuer, err)
	}
	known := &revocationList{list: list, revoked: make(map[string]bool, len(list.RevokedCertificateEntries))}
	for i := range list.RevokedCertificateEntries {
		known.revoked[list.RevokedCertificateEntries[i].SerialNumber.String()] = true
	}
	r.keep(known)
	return nil
}

// keep adds a list; the newer one of two by the same key counts.
func (r *revocations) keep(known *revocationList) {
	issuer := string(known.list.RawIssuer)
	lists := r.lists[issuer]
	same := slices.IndexFunc(lists, func(old *revocationList) bool {
		return bytes.Equal(old.list.AuthorityKeyId, known.list.AuthorityKeyId)
	})
	switch {
	case same < 0:
		r.lists[issuer] = append(lists, known)
	case !lists[same].list.ThisUpdate.After(known.list.ThisUpdate):
		lists[same] = known
	}
}

// of returns the newest list that an authority has signed, nil without any.
func (r *revocations) of(authority *x509.Certificate) (newest *revocationList) {
	for _, known := range r.lists[string(authority.RawSubject)] {
		if newest != nil && newest.list.ThisUpdate.After(known.list.ThisUpdate) {
			continue
		}
		if known.list.CheckSignatureFrom(authority) == nil {
			newest = known
		}
	}
	return newest
}

// signedByAny checks the signature of a list whose issuer is among the
// authorities; that of another is checked when a chain leads to it.
func signedByAny(list *x509.RevocationList, authorities []*x509.Certificate) (err error) {
	for _, a := range authorities {
		if !bytes.Equal(a.RawSubject, list.RawIssuer) {
			continue
		}
		if err = list.CheckSignatureFrom(a); err == nil {
			return nil
		}
	}
	return err
}

var (
	deltaList         = asn1.ObjectIdentifier{2, 5, 29, 27} // RFC 5280, section 5.2.4
	distributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28} // RFC 5280, section 5.2.5
)

// complete refuses what is not a whole list of its issuer's own certificates.
func complete(list *x509.RevocationList) error {
	for _, e := range list.Extensions {
		switch {
		case e.Id.Equal(deltaList):
			return fmt.Errorf("is a delta CRL: use the complete list")
		case e.Id.Equal(distributionPoint):
			if err := direct(e); err != nil {
				return err
			}
		case e.Critical:
			return fmt.Errorf("has the unknown critical extension %v", e.Id)
		}
	}
	return nil
}

// direct refuses an indirect list, which speaks for several issuers.
func direct(e pkix.Extension) error {
	var point struct {
		Point      asn1.RawValue  `asn1:"optional,tag:0"`
		UsersOnly  bool           `asn1:"optional,tag:1"`
		CAsOnly    bool           `asn1:"optional,tag:2"`
		Reasons    asn1.BitString `asn1:"optional,tag:3"`
		Indirect   bool           `asn1:"optional,tag:4"`
		Attributes bool           `asn1:"optional,tag:5"`
	}
	if _, err := asn1.Unmarshal(e.Value, &point); err != nil {
		return fmt.Errorf("the issuing distribution point: %w", err)
	}
	if point.Indirect {
		return fmt.Errorf("is an indirect CRL for several authorities: use one list for each")
	}
	return nil
}

// permits reports whether one of the chains, leaf first, holds no revoked
// certificate. A chain through an authority without a list is refused: what it
// has revoked is not known. A list that is due to be replaced stays in force.
func (r *revocations) permits(chains [][]*x509.Certificate) bool {
	return slices.ContainsFunc(chains, r.permitsChain)
}

func (r *revocations) permitsChain(chain []*x509.Certificate) bool {
	for i, cert := range chain[:len(chain)-1] {
		list := r.of(chain[i+1])
		if list == nil || list.revoked[cert.SerialNumber.String()] {
			return false
		}
	}
	return true
}
