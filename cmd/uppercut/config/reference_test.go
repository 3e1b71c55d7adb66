package config

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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite generated files instead of comparing them")

// TestConfigurationReference holds docs/configuration.md against the structs:
// every key with its comment and its default. Run with -update to rewrite it.
func TestConfigurationReference(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Configuration

Every setting, with its default. The file is YAML, ` + "`" + DefaultFile + "`" + ` unless
` + "`--config`" + ` names another; without a file the defaults apply. The environment overrides
the file: ` + "`UPPERCUT_`" + ` and the key in capitals, dots as underscores, such as
` + "`UPPERCUT_RECEIVER_UDP=10.25.0.1:5514`" + `. A key that does not exist, a duration without a
unit and an impossible value are errors that name the key and the line.
Durations are written ` + "`90s`, `10m`, `1h30m`, `7d`" + `. Commands that query a running appliance
only need ` + "`state_dir`" + `, and warn about mistakes elsewhere.

` + "`systemctl reload uppercut`" + ` applies a changed file while uppercut runs; no message
and no score is lost. Where it says below that a change needs a restart, a reload with
such a change is refused, and the old configuration stays in force.

This page is generated from the comments in the code.
`)
	describe(t, &b, structDocs(t), reflect.ValueOf(Default()), "")
	compareGolden(t, "../../../docs/configuration.md", b.Bytes())
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
		checkDurations(t, field, doc)
		doc = prose(t, docs, field, doc, shown(t, value))
		section := isSection(field.Type)
		if section {
			fmt.Fprintf(b, "\n## %s\n\n%s\n", prefix+name, doc)
			describe(t, b, docs, value, prefix+name+".")
			continue
		}
		fmt.Fprintf(b, "\n### `%s`\n\n%s\n", prefix+name, doc)
		if field.Type.Kind() == reflect.Slice && isSection(field.Type.Elem()) {
			b.WriteString("\nEach entry has these keys:\n\n")
			listEntry(t, b, docs, field.Type.Elem())
		}
		writeDefault(t, b, value)
		if takesRestart(t, prefix+name) {
			b.WriteString("\nA change needs a restart.\n")
		}
	}
}

// takesRestart asks reload what it makes of a change of key.
func takesRestart(t *testing.T, key string) bool {
	t.Helper()
	old, now := Default(), Default()
	v := settingOf(reflect.ValueOf(&now).Elem(), key)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		v.SetZero()
	default:
		t.Fatalf("%s is a %s", key, v.Kind())
	}
	err := NeedsRestart(&old, &now)
	if err != nil && !strings.HasPrefix(err.Error(), key+": ") {
		t.Errorf("who changes %s hears: %v", key, err)
	}
	return err != nil
}

// settingOf returns the field of v, a struct, that key names.
func settingOf(v reflect.Value, key string) reflect.Value {
	name, rest, _ := strings.Cut(key, ".")
	for field, value := range v.Fields() {
		tag, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if options == "squash" {
			if found := settingOf(value, key); found.IsValid() {
				return found
			}
		}
		switch {
		case tag != name:
		case rest == "":
			return value
		default:
			return settingOf(value, rest)
		}
	}
	return reflect.Value{}
}

// listEntry writes the keys of a list's entries.
func listEntry(t *testing.T, b *bytes.Buffer, docs map[string]string, entry reflect.Type) {
	t.Helper()
	for field := range entry.Fields() {
		if name := field.Tag.Get("mapstructure"); name != "" && name != "-" {
			doc := docs[entry.PkgPath()+"."+entry.Name()+"."+field.Name]
			checkDurations(t, field, doc)
			fmt.Fprintf(b, "- `%s`: %s\n", name, strings.ReplaceAll(withoutName(t, docs, field, doc), "\n", " "))
		}
	}
}

var quantity = regexp.MustCompile(`\b\d+(?:\.\d+)?(?: ?[a-z]+)?\b`)

// checkDurations: the comment of a duration writes durations as the file takes
// them.
func checkDurations(t *testing.T, field reflect.StructField, doc string) {
	t.Helper()
	if field.Type != reflect.TypeFor[time.Duration]() {
		return
	}
	for _, text := range quantity.FindAllString(doc, -1) {
		value, err := parseValue(text)
		if err == nil {
			_, err = decodeDuration(reflect.TypeOf(value), field.Type, value)
		}
		if err != nil {
			t.Errorf("the comment of %s: %v", field.Name, err)
		}
	}
}

func writeDefault(t *testing.T, b *bytes.Buffer, value reflect.Value) {
	t.Helper()
	text := shown(t, value)
	if strings.Contains(text, "\n") || value.Kind() == reflect.Slice && value.Len() > 0 {
		fmt.Fprintf(b, "\nDefault:\n\n```yaml\n%s\n```\n", text)
		return
	}
	fmt.Fprintf(b, "\nDefault: `%s`\n", text)
}

// shown writes a value as the file takes it.
func shown(t *testing.T, value reflect.Value) string {
	t.Helper()
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(value)); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(text.String())
}

var statedDefault = regexp.MustCompile(`\s*Default: (.*)\.$`)

// prose is a field's comment for those who do not read Go: without the field's
// name, and without its default, which must be the one that is in force.
func prose(t *testing.T, docs map[string]string, field reflect.StructField, doc, value string) string {
	t.Helper()
	doc = withoutName(t, docs, field, doc)
	if stated := statedDefault.FindStringSubmatch(strings.ReplaceAll(doc, "\n", " ")); stated != nil {
		if want := inWords(value); stated[1] != want {
			t.Errorf("the comment of %s gives the default %s; it is %s", field.Name, stated[1], want)
		}
		doc = doc[:strings.LastIndex(doc, "Default:")]
	}
	return strings.TrimSpace(doc)
}

// inWords writes a default as comments do.
func inWords(value string) string {
	if value == "[]" || value == `""` {
		return "none"
	}
	if n, err := strconv.Atoi(value); err == nil && n >= 1<<20 && n%(1<<20) == 0 && n != 1<<20 {
		return strconv.Itoa(n>>20) + " MiB"
	}
	items := strings.Split(strings.Trim(value, `"`), "\n")
	for i, item := range items {
		items[i] = strings.TrimPrefix(item, "- ")
	}
	return strings.Join(items, ", ")
}

var goName = regexp.MustCompile(`\b[A-Z][a-z0-9]+[A-Z]\w*`)

// withoutName takes the field's name, and is, are or lists, from the start of its comment.
func withoutName(t *testing.T, docs map[string]string, field reflect.StructField, doc string) string {
	t.Helper()
	text, ok := strings.CutPrefix(doc, field.Name)
	if !ok {
		t.Errorf("the comment of %s does not begin with its name", field.Name)
	}
	text = strings.TrimSpace(text)
	for _, verb := range []string{"is ", "is\n", "are ", "lists "} {
		text = strings.TrimPrefix(text, verb)
	}
	for _, name := range goName.FindAllString(text, -1) {
		if slices.ContainsFunc(slices.Collect(maps.Keys(docs)), func(key string) bool { return strings.HasSuffix(key, "."+name) }) {
			t.Errorf("the comment of %s speaks of %s, which is a name in Go", field.Name, name)
		}
	}
	return strings.ToUpper(text[:1]) + text[1:]
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
	dirs := map[string]string{".": "uppercut/cmd/uppercut/config"}
	for _, top := range []string{"receiver", "detector", "enforcer", "metrics", "cmd/uppercut/console", "cmd/uppercut/outbox", "cmd/uppercut/feed"} {
		err := filepath.WalkDir(filepath.Join("../../..", top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs[path] = "uppercut/" + strings.TrimPrefix(filepath.ToSlash(path), "../../../")
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
	for _, key := range allKeys(reflect.TypeFor[Config](), "") {
		if other, taken := names[environName(key)]; taken {
			t.Errorf("%s and %s share %s", key, other, environName(key))
		}
		names[environName(key)] = key
	}
	if !slices.Contains(slices.Collect(maps.Keys(names)), "UPPERCUT_RECEIVER_UDP") {
		t.Error("UPPERCUT_RECEIVER_UDP is missing")
	}
}
