package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"go.yaml.in/yaml/v3"

	"uppercut/cmd/uppercut/console"
)

// document is a configuration file: its settings, and where each stands.
type document struct {
	name     string
	root     *yaml.Node
	settings map[string]any
}

// parseDocument reads YAML. The error names the line; then the document holds
// no more than stateDirLine finds.
func parseDocument(name string, text []byte) (*document, error) {
	doc := &document{name: name, root: new(yaml.Node)}
	err := yaml.Unmarshal(text, doc.root)
	switch {
	case err != nil:
		err = yamlMistakes(name, text, err)
	case doc.root.Kind == 0: // nothing but comments
	case doc.root.Content[0].Kind != yaml.MappingNode && doc.root.Content[0].Tag != "!!null":
		err = fmt.Errorf("%s:%d: the file must hold keys with values, such as mode: enforce", name, doc.root.Content[0].Line)
	default:
		if err = doc.root.Decode(&doc.settings); err != nil {
			err = yamlMistakes(name, text, err)
		}
	}
	if err != nil {
		return &document{name: name, root: new(yaml.Node), settings: stateDirLine(text)}, err
	}
	return doc, nil
}

// stateDirLine finds the line of state_dir in a file that as a whole is not
// what it should be: whoever asks a running appliance needs no other.
func stateDirLine(text []byte) (settings map[string]any) {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("state_dir:")) && yaml.Unmarshal(line, &settings) == nil {
			break
		}
	}
	return settings
}

// locate joins mistakes to one error, each with the file and the line of the
// key that it begins with; nil if there are none.
func (d *document) locate(mistakes []error) error {
	var located []error
	for _, mistake := range mistakes {
		key, _, _ := strings.Cut(mistake.Error(), ":")
		mistake = withDays(mistake)
		if line := d.line(key); line > 0 {
			mistake = fmt.Errorf("%s:%d: %w", d.name, line, mistake)
		}
		located = append(located, mistake)
	}
	return errors.Join(located...)
}

var keyStep = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// line returns the line of the last node on the way to key, such as
// detector.rules[1].window, that stands in the file; 0 if not even the first
// does.
func (d *document) line(key string) int {
	if len(d.root.Content) == 0 {
		return 0
	}
	node, line := d.root.Content[0], 0
	for _, step := range keyStep.FindAllString(key, -1) {
		next, at := child(node, step)
		if next == nil {
			break
		}
		node, line = next, at
	}
	return line
}

// child returns the value below node by key or [index] and the line where it
// is named.
func child(node *yaml.Node, step string) (*yaml.Node, int) {
	switch node.Kind {
	case yaml.MappingNode:
		name := strings.Trim(step, "[]")
		for i := 0; i+1 < len(node.Content); i += 2 {
			if strings.EqualFold(node.Content[i].Value, name) {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		i, err := strconv.Atoi(strings.Trim(step, "[]"))
		if err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i], node.Content[i].Line
		}
	}
	return nil, 0
}

// parseValue reads the value of an environment variable: YAML, so that lists
// are [a, b] and numbers are numbers; what is no YAML is a plain string.
func parseValue(text string) (any, error) {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return nil, err
	}
	if value == nil {
		return text, nil
	}
	return value, nil
}

// decodeHook turns the words of a file into values.
func decodeHook() mapstructure.DecodeHookFunc {
	return mapstructure.ComposeDecodeHookFunc(
		decodeDuration,
		mapstructure.StringToNetIPAddrHookFunc(),
		decodeNetwork,
		decodeScalarList,
		decodeShape,
	)
}

// decodeDuration takes "10m" and refuses 600, which would be 600 ns.
func decodeDuration(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v has no unit; write a duration such as 10m, 1h30m or 7d", value)
	}
	return console.ParseDuration(text)
}

// decodeScalarList takes a single word where a list of words is wanted, as it
// is natural in the environment: UPPERCUT_RECEIVER_UDP=127.0.0.1:5514.
func decodeScalarList(from, to reflect.Type, value any) (any, error) {
	if to.Kind() != reflect.Slice || from.Kind() != reflect.String {
		return value, nil
	}
	text := value.(string)
	if text == "" {
		return []any{}, nil
	}
	var list []any
	for word := range strings.SplitSeq(text, ",") {
		list = append(list, strings.TrimSpace(word))
	}
	return list, nil
}
