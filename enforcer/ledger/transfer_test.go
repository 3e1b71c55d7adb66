package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExportAndImport(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, fullLedger(t), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := contentOf(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := OpenToRead(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	summary, err := l.Check()
	if err != nil || summary != (Summary{59, 60, 60, 10}) {
		t.Errorf("%+v, %v", summary, err)
	}
	var export bytes.Buffer
	if err := l.Export(&export); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(export.Bytes(), []byte("\n")); n != 59+60+60+10+2 {
		t.Errorf("%d lines", n)
	}
	other := newPath(t)
	if got, err := Import(other, bytes.NewReader(export.Bytes())); err != nil || got != summary {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err := contentOf(other)
	if diff := cmp.Diff(want, got, equal); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := Import(other, &export); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("into one that is there: %v", err)
	}
}

func TestImportOfWhatIsNoExport(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":       {"", "the export is cut"},
		"other JSON":    {`{"a":1}`, "not an export"},
		"text":          {"hello", "line 1: invalid"},
		"a newer one":   {`{"version":99}`, "not an export"},
		"cut":           {"{\"version\":2}\n{\"block\":{\"ID\":1,\"Prefix\":\"192.0.2.1/32\"}}\n", "line 3: the export is cut"},
		"a line is out": {"{\"version\":2}\n{\"end\":{\"blocks\":1}}\n", "was read"},
		"a bad prefix":  {"{\"version\":2}\n{\"block\":{\"Prefix\":\"192.0.2.1\"}}\n", "line 2"},
	} {
		path := newPath(t)
		_, err := Import(path, strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a ledger is left: %v", name, err)
		}
	}
}
