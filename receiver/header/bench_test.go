package header

import "testing"

func BenchmarkHeader(b *testing.B) {
	for name, frame := range map[string]string{
		"RFC3164":       "<22>Nov 23 07:33:23 mx1 sm-mta[17608]: 4ANJUBRC017608: from=<alice@example.org>, size=1234",
		"ForwardFormat": "<22>2026-11-23T07:33:23.586845+00:00 mx1 sm-mta[17608]: 4ANJUBRC017608: from=<alice@example.org>, size=1234",
		"RFC5424":       "<22>1 2026-11-23T07:33:23.217365+00:00 mx1 sm-mta 17608 - -  4ANJUBRC017608: from=<alice@example.org>, size=1234",
		"structured":    `<22>1 2026-11-23T07:36:00+00:00 mx1 sm-mta 17608 - [meta sequenceId="1"] 4ANJUBRC017608: from=<alice@example.org>, size=1234`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			p := Parser{Tags: NewTags([]string{"sendmail", "sm-*"}, nil)}
			var h Header
			for b.Loop() {
				if err := p.Parse(frame, false, &h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
