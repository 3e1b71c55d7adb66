package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// readAll returns the text of f, read with a buffer of the smallest size, and
// checks that chunks end with lines.
func readAll(t *testing.T, f *File) (string, error) {
	t.Helper()
	defer f.Close()
	var all strings.Builder
	buf := make([]byte, MaxLine)
	for {
		chunk, err := f.Next(buf)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return all.String(), err
		}
		if s := all.String(); s != "" && !strings.HasSuffix(s, "\n") {
			t.Errorf("a chunk ends with %.20q", s[max(0, len(s)-20):])
		}
		all.Write(chunk)
		for i := range buf { // the caller may do what it wants with it
			buf[i] = 'X'
		}
	}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// someLines is about n bytes of numbered lines.
func someLines(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of a file that is neither short nor all too regular %x\n", i, i*i)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, text string) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

// packedBy packs text with a program of the system.
func packedBy(t *testing.T, program, text string) []byte {
	t.Helper()
	cmd := exec.Command(program, "-c")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	return out
}

func TestPackings(t *testing.T) {
	text := someLines(500_000)
	half := strings.LastIndex(text[:250_000], "\n") + 1
	for name, content := range map[string][]byte{
		"plain":            []byte(text),
		"gzip":             gzipped(t, text),
		"gzip, two parts":  append(gzipped(t, text[:half]), gzipped(t, text[half:])...),
		"gzip program":     packedBy(t, "gzip", text),
		"zstd":             zstandard(t, text),
		"zstd, two frames": append(zstandard(t, text[:half]), zstandard(t, text[half:])...),
		"zstd program":     packedBy(t, "zstd", text),
		"bzip2 program":    packedBy(t, "bzip2", text),
	} {
		t.Run(name, func(t *testing.T) {
			// the name says nothing of the packing
			f, err := Open(write(t, "maillog", content))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, f)
			if err != nil || got != text {
				t.Errorf("%d of %d bytes, error %v", len(got), len(text), err)
			}
			if f.Size() != int64(len(content)) || f.Consumed() != f.Size() {
				t.Errorf("size %d, consumed %d, want %d", f.Size(), f.Consumed(), len(content))
			}
		})
	}
}

func TestStream(t *testing.T) {
	text := someLines(100_000)
	for name, r := range map[string]io.Reader{
		"plain":        strings.NewReader(text),
		"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"gzip":         bytes.NewReader(gzipped(t, text)),
	} {
		f := NewStream("standard input", r)
		if got, err := readAll(t, f); got != text || err != nil {
			t.Errorf("%s: %d of %d bytes, error %v", name, len(got), len(text), err)
		}
		if f.Size() != 0 || !f.Modified().IsZero() || f.Name() != "standard input" {
			t.Errorf("%s: size %d, modified %v, name %s", name, f.Size(), f.Modified(), f.Name())
		}
	}
}

func TestEdges(t *testing.T) {
	long := strings.Repeat("x", 3*MaxLine)
	for name, test := range map[string]struct{ text, want string }{
		"empty":              {"", ""},
		"one byte":           {"x", "x"},
		"no LF at the end":   {"a\nb", "a\nb"},
		"exactly a buffer":   {long[:MaxLine-1] + "\nb\n", long[:MaxLine-1] + "\nb\n"},
		"a line too long":    {"a\n" + long + "\nb\n", "a\n" + long[:MaxLine-1] + "\nb\n"},
		"too long, no end":   {"a\n" + long, "a\n" + long[:MaxLine-1] + "\n"},
		"NULs in front":      {strings.Repeat("\x00", 100) + "a\nb\n", "a\nb\n"},
		"nothing but NULs":   {strings.Repeat("\x00", MaxLine), ""},
		"NULs for ever":      {strings.Repeat("\x00", 10*MaxLine+7) + "a\nb\n", "a\nb\n"},
		"NULs in the middle": {"a\n" + strings.Repeat("\x00", 10) + "b\n", "a\n" + strings.Repeat("\x00", 10) + "b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Open(write(t, "maillog", []byte(test.text)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, f)
			if err != nil || got != test.want {
				t.Errorf("%d bytes, want %d; error %v", len(got), len(test.want), err)
			}
		})
	}
}

// TestBroken: what can be read is read, then the error says where it ended.
func TestBroken(t *testing.T) {
	text := someLines(1_000_000)
	packed := gzipped(t, text)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // the checksum
	frame := zstandard(t, text)
	for name, test := range map[string]struct {
		content []byte
		want    string
		least   int
	}{
		"gzip cut":      {packed[:len(packed)/2], "unexpected EOF: the file is truncated", 300_000},
		"gzip checksum": {flipped, "gzip: invalid checksum", len(text)},
		"gzip, then rubbish": {
			append(gzipped(t, text), "rubbish at the end"...), "gzip: invalid header", len(text),
		},
		"zstd cut": {frame[:len(frame)/2], "unexpected EOF: the file is truncated", 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "maillog", test.content)
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(t, f)
			if err == nil {
				t.Fatal("no error")
			}
			if len(got) < test.least || !strings.HasPrefix(text, got) || !strings.HasSuffix(got, "\n") {
				t.Errorf("%d of %d bytes, want the first %d at least", len(got), len(text), test.least)
			}
			var at int
			if n, _ := fmt.Sscanf(err.Error(), "read "+path+": after %d bytes of text:", &at); n != 1 || at < len(got) {
				t.Errorf("error %q names no place behind %d", err, len(got))
			}
			if !strings.HasSuffix(err.Error(), test.want) {
				t.Errorf("error %q, want ... %s", err, test.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ path, want string }{
		"missing":   {filepath.Join(dir, "none"), "none: no such file or directory"},
		"directory": {dir, dir + ": is a directory"},
		"xz":        {write(t, "maillog.xz", []byte("\xfd7zXZ\x00\x00")), "which is not supported: pipe it through xzcat"},
		"gzip":      {write(t, "maillog.gz", []byte("\x1f\x8b\x07")), "unexpected EOF"},
	} {
		if _, err := Open(test.path); err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want ... %s", name, err, test.want)
		}
	}
	f := NewStream("standard input", iotest.ErrReader(errors.New("gone")))
	if _, err := readAll(t, f); err == nil || err.Error() != "open standard input: gone" {
		t.Errorf("stream: error %v", err)
	}
}

// TestFormsOfJournalctl: what systemd 252 writes is read, or refused by its name.
func TestFormsOfJournalctl(t *testing.T) {
	const cursor = "s=430c832ba3f541fdb2390126b9367755;i=1eb;b=71cb2410ef754c1dbcbab934003f2dc1;m=e1210c69;t=6618653f541f5;x=78e066863cf2f12"
	for form, text := range map[string]string{
		"export":          "__CURSOR=" + cursor + "\n__REALTIME_TIMESTAMP=1796079422358005\n",
		"verbose":         "Mon 2026-11-30 22:57:02.357926 UTC [" + cursor + "]\n    _HOSTNAME=vm\n",
		"json-pretty":     "{\n\t\"__REALTIME_TIMESTAMP\" : \"1796079422358005\",\n",
		"short-monotonic": "[ 3777.039465] vm sendmail[31837]: line 0\n",
		"short-delta":     "[ 3777.039465                ] vm sendmail[31837]: line 0\n[ 3777.040747 <    0.001282 >] vm sendmail[31837]: line 1\n",
		"":                "Mon 2026-11-30 22:57:02 UTC vm sendmail[31837]: line 0\n",
		" ":               "Nov 30 22:57:02 vm sendmail[31837]: line 0\n",
		"  ":              "{\"__CURSOR\":\"" + cursor + "\"}\n",
		"   ":             "[ID 197553 mail.info] x\n",
	} {
		for _, before := range []string{"", "-- Journal begins at Mon 2026-11-30 --\n-- Boot 71cb2410 --\n"} {
			_, err := Open(write(t, "journal", []byte(before+text)))
			if strings.TrimSpace(form) == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.HasSuffix(err.Error(), "is output of journalctl -o "+form+", which is not supported: use journalctl -o short-iso or -o json") {
				t.Errorf("%s: error %v", form, err)
			}
		}
	}
}

func TestModified(t *testing.T) {
	path := write(t, "maillog", []byte("x\n"))
	want := time.Date(2020, 2, 29, 1, 2, 3, 0, time.UTC)
	if err := os.Chtimes(path, want, want); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !f.Modified().Equal(want) {
		t.Errorf("modified %v, want %v", f.Modified(), want)
	}
}

func TestStem(t *testing.T) {
	for path, want := range map[string]string{
		"/var/log/maillog":              "/var/log/maillog",
		"/var/log/maillog.1":            "/var/log/maillog",
		"/var/log/maillog.12.gz":        "/var/log/maillog",
		"/var/log/maillog-20261122":     "/var/log/maillog",
		"/var/log/maillog-20261122.zst": "/var/log/maillog",
		"mx1.log":                       "mx1.log",
		"mx1.log.gz":                    "mx1.log",
		"mx1":                           "mx1",
		"mx2":                           "mx2",
		"10.0.0.1":                      "10.0.0.1",
		"logs.2/10.0.0.1":               "logs.2/10.0.0.1",
		"-":                             "-",
		"1":                             "1",
	} {
		if got := Stem(path); got != want {
			t.Errorf("Stem(%q) = %q, want %q", path, got, want)
		}
	}
}
