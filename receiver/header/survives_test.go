package header

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/mcuadros/go-syslog.v2/format"
)

// library are the formats of go-syslog: a server of it reads frames with one of
// them.
var library = map[string]format.Format{
	"RFC3164": &format.RFC3164{}, "RFC5424": &format.RFC5424{},
	"RFC6587": &format.RFC6587{}, "Automatic": &format.Automatic{},
}

// endsLibrary names the parser of the library that panics on frame, "" if none
// does.
func endsLibrary(frame string) string {
	for name, f := range library {
		if panics(func() { _ = f.GetParser([]byte(frame)).Parse() }) {
			return name
		}
		if split := f.GetSplitFunc(); split != nil && panics(func() {
			stream := bufio.NewScanner(strings.NewReader(frame))
			for stream.Split(split); stream.Scan(); {
				_ = f.GetParser(stream.Bytes()).Parse()
			}
		}) {
			return name
		}
	}
	return ""
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// TestLibrarySurvivesOurInputs: what our guards are tried on must not be what
// ends the servers of others, who use the library as it is.
func TestLibrarySurvivesOurInputs(t *testing.T) {
	if endsLibrary("<34>Oct 11 22:14:15 mymachine su: 'su root' failed") != "" {
		t.Fatal("the library panics on the example of RFC 3164")
	}
	for _, bad := range badFrames(t) {
		if name := endsLibrary(bad.frame); name != "" {
			t.Errorf("a bad frame ends the library's %s parser: leave it out and say so", name)
		}
	}
	inputs := 0
	walk(t, func(path string) {
		for _, input := range inputsOf(t, path) {
			inputs++
			if name := endsLibrary(input); name != "" {
				t.Errorf("%s holds an input (%d bytes) that ends the library's %s parser", path, len(input), name)
			}
		}
	})
	if inputs < 800 {
		t.Errorf("only %d inputs", inputs)
	}
}

// walk visits the Go tests and the test data of the project.
func walk(t *testing.T, visit func(path string)) {
	t.Helper()
	const root = "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "dist") {
			return fs.SkipDir
		}
		if !d.IsDir() && (strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/")) {
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inputsOf returns what a file holds that begins like a frame: string literals
// that are whole, and lines.
func inputsOf(t *testing.T, path string) (inputs []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".go") {
		return literals(t, path, data)
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if _, quoted, ok := strings.Cut(line, `"`); ok {
			// a quoted frame, or an argument of a fuzz seed
			if text, err := strconv.Unquote(`"` + strings.TrimRight(quoted, ") ")); err == nil {
				inputs = append(inputs, frameLines(text)...)
			}
		}
		inputs = append(inputs, frameLines(line)...)
	}
	return inputs
}

// frameLines returns the lines of a text that begin with a PRI or a count, and
// all that follows a count.
func frameLines(text string) (frames []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "<") || startsWithCount(line) {
			frames = append(frames, line, strings.TrimRight(line, "\r\n"))
		}
	}
	if startsWithCount(text) {
		frames = append(frames, text)
	}
	return frames
}

func startsWithCount(text string) bool {
	count, rest, ok := strings.Cut(text, " ")
	_, err := strconv.Atoi(count)
	return ok && err == nil && strings.HasPrefix(rest, "<")
}

// literals returns the frames among the string literals of Go code, but for
// those that are pieces: operands of + and formats of Sprintf and the like.
func literals(t *testing.T, path string, code []byte) (inputs []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, code, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if sum, ok := n.(*ast.BinaryExpr); ok && sum.Op == token.ADD {
			return false
		}
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil && !strings.Contains(text, "%") {
			inputs = append(inputs, frameLines(text)...)
		}
		return true
	})
	return inputs
}
