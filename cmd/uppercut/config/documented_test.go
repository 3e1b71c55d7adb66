package config

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDocumentedConfiguration loads every piece of configuration on the pages:
// blocks of YAML, and spans of code that name a key, with a value or without.
// configuration.md is generated.
func TestDocumentedConfiguration(t *testing.T) {
	total := 0
	for _, pattern := range []string{"../../../*.md", "../../../docs/*.md", "../../../deploy/*/README.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			if filepath.Base(page) == "configuration.md" {
				continue
			}
			text := readTestFile(t, page)
			for _, piece := range slices.Concat(yamlBlocks(text), configuredSpans(t, page, text)) {
				total++
				file := filepath.Join(t.TempDir(), "uppercut.yaml")
				writeTestFile(t, file, piece)
				if _, err := (Source{File: file}).Load(); err != nil {
					t.Errorf("%s shows\n%s\nwhich is no configuration: %v", page, piece, err)
				}
			}
		}
	}
	if total < 10 {
		t.Errorf("only %d pieces of configuration were found", total)
	}
}

// yamlBlocks returns the blocks of a page that are said to be YAML, and of the
// indented ones those that begin with a key of ours.
func yamlBlocks(text string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	for _, block := range regexp.MustCompile(`(?m)(?:^    .*\n|^\n)+`).FindAllString(text, -1) {
		var settings map[string]any
		if yaml.Unmarshal([]byte(block), &settings) != nil {
			continue
		}
		for key := range settings {
			if isKey(key) {
				blocks = append(blocks, block)
				break
			}
		}
	}
	return blocks
}

var span = regexp.MustCompile("`([a-z_]+)((?:\\.[a-z0-9_]+)*)(?:: ([^`\n]+))?`")

// configuredSpans returns the spans that give a key a value, as files, and
// refuses those that name a key which does not exist.
func configuredSpans(t *testing.T, page, text string) (files []string) {
	t.Helper()
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		section, rest, value := m[1], m[2], m[3]
		switch {
		case !isKey(section):
		case !isKey(section + rest):
			t.Errorf("%s names %s, which is no key", page, section+rest)
		case value != "":
			depth := strings.Count(rest, ".")
			files = append(files, section+strings.ReplaceAll(rest, ".", ": {")+": "+value+strings.Repeat("}", depth))
		}
	}
	return files
}

// isKey says whether name is a setting or a section of them.
func isKey(name string) bool {
	return slices.ContainsFunc(allKeys(reflect.TypeFor[Config](), ""), func(key string) bool {
		return key == name || strings.HasPrefix(key, name+".")
	})
}
