package lab

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestAnswer(t *testing.T) {
	const (
		a    = dnsmessage.TypeA
		aaaa = dnsmessage.TypeAAAA
		ptr  = dnsmessage.TypePTR
		mx   = dnsmessage.TypeMX
	)
	for _, test := range []struct {
		name  string
		kind  dnsmessage.Type
		rcode dnsmessage.RCode
		want  dnsmessage.ResourceBody // nil for no record
	}{
		{"7.0.18.198.in-addr.arpa.", ptr, dnsmessage.RCodeSuccess, &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("h198-18-0-7.isp.example.")}},
		{"7.0.19.198.in-addr.arpa.", ptr, dnsmessage.RCodeNameError, nil},
		{
			"5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.d.a.b.0.8.b.d.0.1.0.0.2.ip6.arpa.", ptr, dnsmessage.RCodeSuccess,
			&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("x20010db80bad00010000000000000025.isp.example.")},
		},
		{"h198-18-0-7.isp.example.", a, dnsmessage.RCodeSuccess, &dnsmessage.AResource{A: [4]byte{198, 18, 0, 7}}},
		{"H198-18-0-7.ISP.example.", a, dnsmessage.RCodeSuccess, &dnsmessage.AResource{A: [4]byte{198, 18, 0, 7}}},
		{"h198-18-0-7.isp.example.", aaaa, dnsmessage.RCodeSuccess, nil},
		{"9.113.0.203.zen.dnsbl.lab.", a, dnsmessage.RCodeSuccess, &dnsmessage.AResource{A: [4]byte{127, 0, 0, 2}}},
		{"9.0.18.198.zen.dnsbl.lab.", a, dnsmessage.RCodeNameError, nil},
		{"sender.example.", a, dnsmessage.RCodeSuccess, &dnsmessage.AResource{A: [4]byte{100, 64, 255, 25}}},
		{"sender.example.", mx, dnsmessage.RCodeSuccess, nil},
		{"nxdomain.invalid.", a, dnsmessage.RCodeNameError, nil},
	} {
		query := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(test.name), Type: test.kind, Class: dnsmessage.ClassINET}},
		}
		packet, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := answer(packet)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var got dnsmessage.Message
		if err := got.Unpack(reply); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got.ID != 7 || !got.Response || got.RCode != test.rcode {
			t.Errorf("%s: %v", test.name, got.Header)
		}
		switch {
		case test.want == nil && len(got.Answers) > 0:
			t.Errorf("%s: unexpected %v", test.name, got.Answers[0].Body)
		case test.want != nil && (len(got.Answers) != 1 || got.Answers[0].Body.GoString() != test.want.GoString()):
			t.Errorf("%s: %v, want %v", test.name, got.Answers, test.want)
		}
	}
	if _, err := answer([]byte("not DNS")); err == nil {
		t.Error("answered what is not a query")
	}
}
