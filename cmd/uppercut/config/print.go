package config

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"uppercut/cmd/uppercut/console"
)

// Print writes c as YAML, in the order of the structs.
func (c *Config) Print(w io.Writer) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(reflect.ValueOf(*c))); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

// Settings are what print writes, for programs.
func (c *Config) Settings() (settings map[string]any, err error) {
	if err := yamlNode(reflect.ValueOf(*c)).Decode(&settings); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return settings, nil
}

// yamlNode is v in YAML, with the words that a configuration file uses.
func yamlNode(v reflect.Value) *yaml.Node {
	switch value := v.Interface().(type) {
	case time.Duration:
		return yamlScalar(console.FormatDuration(value))
	case netip.Prefix:
		return yamlScalar(value.String())
	case netip.Addr:
		return yamlScalar(value.String())
	case fmt.Stringer:
		return yamlScalar(value.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		return yamlMapping(v)
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			list.Content = append(list.Content, yamlNode(v.Index(i)))
		}
		return list
	}
	node := new(yaml.Node)
	if err := node.Encode(v.Interface()); err != nil {
		return yamlScalar(fmt.Sprint(v.Interface()))
	}
	return node
}

func yamlMapping(v reflect.Value) *yaml.Node {
	mapping := &yaml.Node{Kind: yaml.MappingNode}
	for field, value := range v.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if options == "squash" {
			mapping.Content = append(mapping.Content, yamlMapping(value).Content...)
			continue
		}
		if name != "" && name != "-" {
			mapping.Content = append(mapping.Content, yamlScalar(name), yamlNode(value))
		}
	}
	return mapping
}

func yamlScalar(text string) *yaml.Node {
	node := new(yaml.Node)
	node.SetString(text)
	return node
}
