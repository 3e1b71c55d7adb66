package main

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"uppercut/cmd/uppercut/console"
)

func newCheckCommand(env *environment) *cobra.Command {
	var (
		flags answerFlags
		quiet bool
	)
	command := &cobra.Command{
		Use:     "check",
		Example: "  uppercut check --config new.yaml\n  uppercut check --quiet",
		Short:   "Validate the configuration and print what is in force",
		Long: `check reads the configuration file, applies the environment, validates the
whole, reads the files that it names (allow lists, certificates, secrets, the
users of the page) and prints every setting that is in force, defaults included,
as YAML that can serve as a configuration file. Warnings and the verdict go to
standard error. Exit code 1 and a line for each mistake, with file, line, key and
reason, if serve would refuse it. Whether a file may be read is asked for the
user who runs check.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			r := env.read()
			err := r.err()
			if err == nil {
				err = r.checkFiles()
			}
			if err != nil {
				return notValid(env, err, quiet)
			}
			for _, warning := range r.config.warnings() {
				fmt.Fprintf(env.stderr, "uppercut: warning: %s\n", warning)
			}
			if !quiet {
				err = printSettings(env.stdout, r.config, flags.json)
				memoryBudget(&r.config).print(env.stderr)
				fmt.Fprintln(env.stderr, "uppercut: configuration is valid")
			}
			return err
		},
	}
	flags.register(command)
	command.Flags().BoolVar(&quiet, "quiet", false, "print nothing but mistakes and warnings")
	return command
}

// notValid prints every mistake and, unless it is to be quiet, the verdict.
func notValid(env *environment, err error, quiet bool) error {
	if quiet {
		return err
	}
	mistakes := len(unjoin(err))
	fmt.Fprintf(env.stderr, "uppercut: %v\n", err)
	word := "mistakes"
	if mistakes == 1 {
		word = "mistake"
	}
	fmt.Fprintf(env.stderr, "uppercut: configuration is not valid: %d %s\n", mistakes, word)
	return exitCode{code: exitError}
}

// printSettings writes c as YAML or JSON.
func printSettings(w io.Writer, c Config, asJSON bool) error {
	if asJSON {
		return printConfigJSON(w, c)
	}
	return printConfig(w, c)
}

// printConfig writes c as YAML, in the order of the structs.
func printConfig(w io.Writer, c Config) error {
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(reflect.ValueOf(c))); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return encoder.Close()
}

// printConfigJSON writes what printConfig writes, for programs.
func printConfigJSON(w io.Writer, c Config) error {
	var settings map[string]any
	if err := yamlNode(reflect.ValueOf(c)).Decode(&settings); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return printJSON(w, settings)
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
