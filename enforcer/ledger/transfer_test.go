package ledger

import (
	"bytes"
	"errors"
	"fmt"
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
	const head, times = "{\"version\":2}\n", `"At":"2026-11-30T12:00:00Z","Until":"2026-12-01T12:00:00Z"`
	block := func(id, prefix, times string) string {
		return fmt.Sprintf("{\"block\":{\"ID\":%s,\"Prefix\":%q,%s}}\n", id, prefix, times)
	}
	end := func(n int) string { return fmt.Sprintf("{\"end\":{\"blocks\":%d}}\n", n) }
	for name, test := range map[string]struct{ text, want string }{
		"host bits":        {head + block("1", "192.0.2.77/24", times) + end(1), "line 2: \"192.0.2.77/24\" is not a network"},
		"a mapped address": {head + block("1", "::ffff:192.0.2.1/128", times) + end(1), "is not a network"},
		"no prefix":        {head + block("1", "", times) + end(1), "is not a network"},
		"number 0":         {head + block("0", "192.0.2.1/32", times) + end(1), "invalid block number"},
		"the last number":  {head + block("18446744073709551615", "192.0.2.1/32", times) + end(1), "invalid block number"},
		"a last_id":        {"{\"version\":2,\"last_id\":18446744073709551615}\n" + end(0), "no last_id"},
		"no times":         {head + block("1", "192.0.2.1/32", `"Rule":"manual"`) + end(1), "invalid time"},
		"the year 9999":    {head + block("1", "192.0.2.1/32", `"At":"2026-11-30T12:00:00Z","Until":"9999-12-01T12:00:00Z"`) + end(1), "invalid time"},
		"twice":            {head + block("1", "192.0.2.1/32", times) + block("2", "192.0.2.1/32", times) + end(2), "duplicate networks"},
		"an empty line":    {head + "{}\n" + end(0), "line 2: it must hold exactly one"},
		"another word":     {head + "{\"blok\":{}}\n" + end(0), "line 2: it must hold exactly one"},
		"two in a line":    {head + "{\"block\":{},\"allow\":{}}\n" + end(1), "line 2: it must hold exactly one"},
		"history":          {head + "{\"history\":{\"ID\":1,\"Prefix\":\"\"}}\n{\"end\":{\"history\":1}}\n", "is not a network"},
		"allowed":          {head + "{\"allow\":{\"prefix\":\"192.0.2.1/8\"}}\n{\"end\":{\"allowed\":1}}\n", "is not a network"},
		"nothing":          {"", "the export is truncated"},
		"other JSON":       {`{"a":1}`, "not an export"},
		"text":             {"hello", "line 1: invalid"},
		"a newer one":      {`{"version":99}`, "not an export"},
		"cut":              {"{\"version\":2}\n" + block("1", "192.0.2.1/32", times), "line 3: the export is truncated"},
		"a line is out":    {"{\"version\":2}\n{\"end\":{\"blocks\":1}}\n", "was read"},
		"a bad prefix":     {"{\"version\":2}\n{\"block\":{\"Prefix\":\"192.0.2.1\"}}\n", "line 2"},
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
