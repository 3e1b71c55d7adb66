package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"uppercut/cmd/uppercut/console"
)

// What is wrong with a configuration, in the words of whoever writes one: lists,
// sections and numbers instead of the types of a program.

// decodeShape refuses a value that is not what its key takes. Durations, addresses
// and networks are left to the hooks that know them.
func decodeShape(from, to reflect.Type, value any) (any, error) {
	switch to {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](), from:
		return value, nil
	}
	fits := true
	switch to.Kind() {
	case reflect.Bool, reflect.String:
		fits = from.Kind() == to.Kind()
	case reflect.Int, reflect.Int64, reflect.Uint64:
		fits = from.Kind() == reflect.Int
	case reflect.Float64:
		fits = from.Kind() == reflect.Int || from.Kind() == reflect.Float64
	case reflect.Slice:
		fits = from.Kind() == reflect.Slice
	case reflect.Struct, reflect.Map:
		fits = from.Kind() == reflect.Map || from.Kind() == reflect.Struct
	default:
	}
	if fits {
		return value, nil
	}
	return nil, fmt.Errorf("%s is not %s", given(value), shapeWords(to, value))
}

// given is a value as it stands in the file, a list or section by its kind.
func given(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		return "a list"
	case map[string]any, map[any]any:
		return "a section"
	}
	return fmt.Sprint(value)
}

// shapeWords says what a key takes, and how value would be written.
func shapeWords(t reflect.Type, value any) string {
	text, _ := value.(string)
	switch t.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "yes", "on", "y", "enabled":
			return "true or false; write true"
		case "no", "off", "n", "disabled":
			return "true or false; write false"
		}
		return "true or false"
	case reflect.String:
		return fmt.Sprintf(`text; write "%v"`, value)
	case reflect.Int, reflect.Int64, reflect.Uint64:
		if sized.MatchString(text) {
			return "a whole number; write all its digits, without a unit"
		}
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		if _, section := value.(map[string]any); section {
			return "a list; begin its entries with -"
		}
		return fmt.Sprintf("a list; write [%v]", value)
	case reflect.Map:
		return "a section of names with values, such as auth_fail: 3"
	default:
		keys := keysOf(t)
		if text != "" && keys[0] == "name" {
			return fmt.Sprintf("a section; write {name: %s}; it takes %s", text, strings.Join(keys, ", "))
		}
		return "a section of keys; it takes " + strings.Join(keys, ", ")
	}
}

var sized = regexp.MustCompile(`^\d+(\.\d+)? ?[kKmMgG]([iI]?[bB])?$`)

// keysOf lists the keys of a section, without those of its sections.
func keysOf(t reflect.Type) (keys []string) {
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			keys = append(keys, keysOf(field.Type)...)
		case name != "" && name != "-":
			keys = append(keys, name)
		}
	}
	return keys
}

// noSuchKey says that there is no such key, and which was meant.
func noSuchKey(key string) error {
	parent, name := "", key
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		parent, name = key[:i+1], key[i+1:]
	}
	siblings := keysOf(sectionType(strings.TrimSuffix(parent, ".")))
	if near := nearest(name, siblings); near != "" {
		return fmt.Errorf("%s: no such key, did you mean %s%s?", key, parent, near)
	}
	var elsewhere []string
	for _, k := range allKeys(reflect.TypeFor[Config](), "") {
		if strings.HasSuffix(k, "."+name) {
			elsewhere = append(elsewhere, k)
		}
	}
	// "enabled" or "listen" in a section that has none means another's as little as
	// any other key.
	if len(elsewhere) == 1 {
		return fmt.Errorf("%s: no such key, did you mean %s?", key, elsewhere[0])
	}
	return fmt.Errorf("%s: no such key", key)
}

// unknownEmpty tells the unknown keys of a section of type t that hold nothing,
// such as "recever:" whose lines are all comments: viper leaves them out of what
// it decodes. prefix is the dotted key of the section, with its dot.
func unknownEmpty(settings map[string]any, t reflect.Type, prefix string) (mistakes []error) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := settings[name]
		field, known := fieldType(t, strings.ToLower(name))
		section, _ := value.(map[string]any)
		switch {
		case !known && holdsNothing(value):
			mistakes = append(mistakes, noSuchKey(prefix+strings.ToLower(name)))
		case known && field.Kind() == reflect.Struct:
			mistakes = append(mistakes, unknownEmpty(section, field, prefix+strings.ToLower(name)+".")...)
		}
	}
	return mistakes
}

// holdsNothing is whether a value is null, or a section of such values.
func holdsNothing(value any) bool {
	section, ok := value.(map[string]any)
	for _, inner := range section {
		if !holdsNothing(inner) {
			return false
		}
	}
	return ok || value == nil
}

var listIndex = regexp.MustCompile(`\[[^\]]*\]`)

// sectionType is the type of the section, or of the list's entries, at a dotted
// key; the nearest section above if there is none.
func sectionType(key string) reflect.Type {
	t := reflect.TypeFor[Config]()
	for step := range strings.SplitSeq(listIndex.ReplaceAllString(key, ""), ".") {
		next, ok := fieldType(t, step)
		if !ok {
			break
		}
		if next.Kind() == reflect.Slice {
			next = next.Elem()
		}
		if next.Kind() != reflect.Struct {
			break
		}
		t = next
	}
	return t
}

func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	for field := range t.Fields() {
		tag, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if options == "squash" {
			if inner, ok := fieldType(field.Type, name); ok {
				return inner, true
			}
		} else if tag == name {
			return field.Type, true
		}
	}
	return nil, false
}

// nearest returns the word that is at most two letters from typed, "" if none
// is.
func nearest(typed string, words []string) (near string) {
	least := min(3, len(typed))
	for _, word := range words {
		if d := editDistance(typed, word); d < least {
			near, least = word, d
		}
	}
	return near
}

// editDistance is how many letters must be put in, taken out or replaced to make
// b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// reworded is an error in other words.
type reworded struct {
	text string
	err  error
}

func (e reworded) Error() string { return e.text }
func (e reworded) Unwrap() error { return e.err }

// quotedOrDuration finds what is quoted, which stays as it is, and durations as
// Go writes them.
var quotedOrDuration = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\b(?:\d+h)?\d+m\d+(?:\.\d+)?s\b`)

// withDays writes the durations in a mistake as a file has them: 365d and not
// 8760h0m0s.
func withDays(err error) error {
	text := quotedOrDuration.ReplaceAllStringFunc(err.Error(), func(found string) string {
		if d, err := time.ParseDuration(found); err == nil {
			return console.FormatDuration(d)
		}
		return found
	})
	if text == err.Error() {
		return err
	}
	return reworded{text, err}
}

// yamlLine finds the line that an error about YAML names.
var yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// yamlMistakes says what is wrong with text, which is no YAML, as of other
// mistakes: file, line, reason.
func yamlMistakes(name string, text []byte, err error) error {
	said := []string{err.Error()}
	if typed, ok := errors.AsType[*yaml.TypeError](err); ok {
		said = typed.Errors
	}
	var mistakes []error
	for _, reason := range said {
		m := yamlLine.FindStringSubmatch(reason)
		if m == nil {
			mistakes = append(mistakes, reworded{name + ": " + strings.TrimPrefix(reason, "yaml: "), err})
			continue
		}
		mistakes = append(mistakes, reworded{fmt.Sprintf("%s:%s: %s%s", name, m[1], m[2], tabHint(text)), err})
	}
	return errors.Join(mistakes...)
}

// tabHint names the usual reason why a file is no YAML.
func tabHint(text []byte) string {
	lines := strings.Split(string(text), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(indentOf(line), "\t") })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("; line %d is indented with a tab, YAML takes spaces only", i+1)
}

func indentOf(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}
