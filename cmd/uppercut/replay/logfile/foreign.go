package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
)

// headSize is how much of a file tells what it is.
const headSize = 512

// foreign are the beginnings of files that are no log as they are, and what to do
// with each.
var foreign = []struct {
	offset int
	magic  string
	what   string
}{
	{0, "\xfd7zXZ\x00", "is compressed with xz, which is not supported: pipe it through xzcat"},
	{0, "\x04\x22\x4d\x18", "is compressed with lz4, which is not supported: pipe it through lz4cat"},
	{0, "\x1f\x9d", "is compressed with compress, which is not supported: pipe it through zcat"},
	{0, "PK\x03\x04", "is a zip archive, which is not supported: pipe it through unzip -p"},
	{0, "7z\xbc\xaf\x27\x1c", "is a 7z archive, which is not supported: unpack it first"},
	{257, "ustar", "is a tar archive, which is not supported: pipe it through tar -xO"},
	{0, "LPKSHHRH", "is a systemd journal, which is not supported: pipe journalctl --file through"},
	{0, "\xff\xfe", "is UTF-16 text, which is not supported: pipe it through iconv -f UTF-16 -t UTF-8"},
	{0, "\xfe\xff", "is UTF-16 text, which is not supported: pipe it through iconv -f UTF-16 -t UTF-8"},
}

// explainForeign says what a file is that begins with head and is no text.
func explainForeign(head []byte) error {
	for _, f := range foreign {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return errors.New(f.what)
		}
	}
	if isWide(head) {
		return errors.New("is UTF-16 text, which is not supported: pipe it through iconv -f UTF-16LE -t UTF-8")
	}
	if form := journalForm(head); form != "" {
		return fmt.Errorf("is output of journalctl -o %s, which is not supported: use journalctl -o short-iso or -o json", form)
	}
	// copytruncate leaves NULs at the start of a log, a power cut anywhere.
	text := bytes.ReplaceAll(head, []byte{0}, nil)
	controls := 0
	for _, c := range text {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\x1b' {
			controls++
		}
	}
	if controls*20 > len(text) {
		return errors.New("is a binary file, not a log")
	}
	return nil
}

// The first entry in forms of journalctl that are not read (systemd's
// logs-show.c): several lines an entry, or times since the start of the host.
var journalForms = []struct {
	name  string
	entry *regexp.Regexp
}{
	{"export", regexp.MustCompile(`^__CURSOR=s=`)},
	{"json-pretty", regexp.MustCompile(`^\{\r?\n\s*"`)},
	{"verbose", regexp.MustCompile(`^[A-Z][a-z]{2} [0-9-]{10} [0-9:.]{8,15} \S+ \[s=[0-9a-f]+;i=`)},
	{"short-monotonic", regexp.MustCompile(`^\[ *[0-9]+\.[0-9]{6}\] \S+ [^:]+: `)},
	{"short-delta", regexp.MustCompile(`^\[ *[0-9]+\.[0-9]{6} (<[ 0-9.]+>| +)\] \S+ `)},
}

// journalForm names the form of journalctl in which a file begins, "" for none of
// these. Lines such as "-- Boot ... --" may stand before the first entry.
func journalForm(head []byte) string {
	for bytes.HasPrefix(head, []byte("-- ")) {
		_, head, _ = bytes.Cut(head, []byte("\n"))
	}
	for _, form := range journalForms {
		if form.entry.Match(head) {
			return form.name
		}
	}
	return ""
}

// isWide reports whether every second byte is 0: UTF-16 without a byte order
// mark.
func isWide(head []byte) bool {
	if len(head) < 32 {
		return false
	}
	var zeros [2]int
	for i, c := range head {
		if c == 0 {
			zeros[i%2]++
		}
	}
	most := max(zeros[0], zeros[1])
	return most > len(head)*4/10 && min(zeros[0], zeros[1]) == 0
}
