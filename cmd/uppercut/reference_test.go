package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite generated files instead of comparing them")

// TestConfigurationReference holds docs/configuration.md against the structs:
// every key with its comment and its default. Run with -update to rewrite it.
func TestConfigurationReference(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Configuration

Every setting, with its default. The file is YAML, ` + "`" + defaultConfigFile + "`" + ` unless
` + "`--config`" + ` names another; without a file the defaults run. The environment wins over
the file: ` + "`UPPERCUT_`" + ` and the key in capitals, dots as underscores, such as
` + "`UPPERCUT_RECEIVER_UDP=10.25.0.1:5514`" + `. A key that does not exist, a duration without a
unit and a value that cannot be are errors that name the key and the line.
Durations are written ` + "`90s`, `10m`, `1h30m`, `7d`" + `.

This page is generated from the comments in the code.
`)
	describe(t, &b, structDocs(t), reflect.ValueOf(defaultConfig()), "")
	compareGolden(t, "../../docs/configuration.md", b.Bytes())
}

// describe writes the keys of v, a struct, below prefix.
func describe(t *testing.T, b *bytes.Buffer, docs map[string]string, v reflect.Value, prefix string) {
	t.Helper()
	for field, value := range v.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if options == "squash" {
			describe(t, b, docs, value, prefix)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		doc := docs[v.Type().PkgPath()+"."+v.Type().Name()+"."+field.Name]
		if doc == "" {
			t.Errorf("%s.%s has no comment", v.Type(), field.Name)
		}
		section := isSection(field.Type)
		if section {
			fmt.Fprintf(b, "\n## %s\n\n%s\n", prefix+name, doc)
			describe(t, b, docs, value, prefix+name+".")
			continue
		}
		fmt.Fprintf(b, "\n### `%s`\n\n%s\n", prefix+name, doc)
		if field.Type.Kind() == reflect.Slice && isSection(field.Type.Elem()) {
			b.WriteString("\nEach entry has these keys:\n\n")
			listEntry(b, docs, field.Type.Elem())
		}
		writeDefault(t, b, value)
	}
}

// listEntry writes the keys of a list's entries.
func listEntry(b *bytes.Buffer, docs map[string]string, entry reflect.Type) {
	for field := range entry.Fields() {
		if name := field.Tag.Get("mapstructure"); name != "" && name != "-" {
			doc := docs[entry.PkgPath()+"."+entry.Name()+"."+field.Name]
			fmt.Fprintf(b, "- `%s`: %s\n", name, strings.ReplaceAll(doc, "\n", " "))
		}
	}
}

func writeDefault(t *testing.T, b *bytes.Buffer, value reflect.Value) {
	t.Helper()
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(value)); err != nil {
		t.Fatal(err)
	}
	shown := strings.TrimSpace(text.String())
	if value.Kind() == reflect.Slice && value.Len() > 0 {
		fmt.Fprintf(b, "\nDefault:\n\n```yaml\n%s\n```\n", shown)
		return
	}
	fmt.Fprintf(b, "\nDefault: `%s`\n", shown)
}

// structDocs returns the comment of every struct field in the module, by
// package path, type and field.
func structDocs(t *testing.T) map[string]string {
	t.Helper()
	docs := make(map[string]string)
	for dir, path := range packageDirs(t) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			fieldDocs(docs, path, syntax)
		}
	}
	return docs
}

// packageDirs maps the folders that hold configuration to package paths.
func packageDirs(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{".": "uppercut/cmd/uppercut"}
	for _, top := range []string{"receiver", "detector", "enforcer", "metrics", "cmd/uppercut/console", "cmd/uppercut/outbox"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs[path] = "uppercut/" + strings.TrimPrefix(filepath.ToSlash(path), "../../")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

func fieldDocs(docs map[string]string, path string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range fields.Fields.List {
			doc := strings.TrimSpace(field.Doc.Text() + field.Comment.Text())
			for _, name := range field.Names {
				docs[path+"."+spec.Name.Name+"."+name.Name] = doc
			}
		}
		return true
	})
}

// compareGolden compares got with a committed file, or rewrites it.
func compareGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not current; run go test %s -update", path, t.Name())
	}
}

// TestEveryKeyHasAnEnvironmentVariable: no two keys share one.
func TestEveryKeyHasAnEnvironmentVariable(t *testing.T) {
	names := make(map[string]string)
	for _, key := range configKeys(reflect.TypeFor[Config](), "") {
		if other, taken := names[environName(key)]; taken {
			t.Errorf("%s and %s share %s", key, other, environName(key))
		}
		names[environName(key)] = key
	}
	if !slices.Contains(slices.Collect(maps.Keys(names)), "UPPERCUT_RECEIVER_UDP") {
		t.Error("UPPERCUT_RECEIVER_UDP is missing")
	}
}
