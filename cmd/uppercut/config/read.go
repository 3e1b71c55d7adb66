package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"uppercut/enforcer"
)

// Reading is a configuration as far as it could be read.
type Reading struct {
	Config   Config
	doc      *document
	broken   error   // why there is no reading the file; nil if it could be read
	mistakes []error // in file, environment and flags, each beginning with its key
	// placed: the state directory is the one that somebody has named, or the
	// default since nobody has. A file that was named and cannot be opened may
	// have named another.
	placed bool
}

// Err names every mistake, with the key and the line; nil if there is none.
func (r *Reading) Err() error { return errors.Join(r.broken, r.doc.locate(r.mistakes)) }

// Mistakes returns every mistake by itself.
func (r *Reading) Mistakes() []error { return unjoin(r.Err()) }

// StateDir is where the running appliance is. Mistakes elsewhere do not matter.
func (r *Reading) StateDir() (string, error) {
	if !r.placed {
		return "", fmt.Errorf("%w; --state-dir says where the appliance is", r.broken)
	}
	return r.Config.StateDir, r.doc.locate(r.of("state_dir"))
}

// ToFlush is what flush needs without an appliance: the state directory, and
// what shapes the ledger if that is to be emptied.
func (r *Reading) ToFlush(forget bool) (Config, error) {
	mistakes := r.of("state_dir")
	if forget {
		keys := allKeys(reflect.TypeFor[enforcer.Config](), "enforcer.")
		mistakes = append(mistakes, r.of(append(keys, "detector.ipv6_prefix")...)...)
	}
	if forget && len(mistakes) == 0 { // what is wrong elsewhere has kept others from a look
		for _, mistake := range unjoin(r.Config.ForEnforcer().Validate()) {
			mistakes = append(mistakes, fmt.Errorf("enforcer.%w", mistake))
		}
	}
	err := r.doc.locate(mistakes)
	if forget {
		err = errors.Join(r.broken, err)
	}
	return r.Config, err
}

// of returns the mistakes in some keys, and in what belongs to them.
func (r *Reading) of(keys ...string) (mistakes []error) {
	for _, mistake := range r.mistakes {
		key, _, _ := strings.Cut(mistake.Error(), ":")
		key, _, _ = strings.Cut(key, "[")
		if slices.Contains(keys, key) {
			mistakes = append(mistakes, mistake)
		}
	}
	return mistakes
}

// CheckFiles reads the files that the configuration names and returns what is
// wrong with them: what would keep a valid configuration from being served.
func (r *Reading) CheckFiles() error {
	for _, s := range r.Config.sections() {
		if s.checkFiles != nil {
			r.mistakes = append(r.mistakes, s.keyed(s.checkFiles())...)
		}
	}
	return r.Err()
}

// Source says where the configuration comes from.
type Source struct {
	File    string            // the file that was named; "" for the default file
	Flags   map[string]string // settings made by flags, which win over file and environment
	Environ []string          // UPPERCUT_... wins over the file
}

// Load reads the file (the default file may be missing, one that is named may
// not), lays environment and flags over it and checks the whole. The error names
// every mistake, with the key and the line.
func (s Source) Load() (Config, error) {
	r := s.Read()
	return r.Config, r.Err()
}

// Read is load for those who need only a part.
func (s Source) Read() Reading {
	r := Reading{doc: &document{name: cmp.Or(s.File, DefaultFile), root: new(yaml.Node)}}
	text, err := readFile(s.File)
	opened := err == nil
	if opened {
		r.doc, err = parseDocument(r.doc.name, text)
	}
	v := viper.NewWithOptions(viper.WithDecodeHook(decodeHook()))
	r.broken = errors.Join(err, v.MergeConfigMap(r.doc.settings))
	r.mistakes = applyEnviron(v, s.Environ)
	for key, value := range s.Flags {
		v.Set(key, value)
	}
	r.placed = opened || s.File == "" || v.IsSet("state_dir")
	c, mistakes := decode(v)
	mistakes = append(mistakes, unknownEmpty(r.doc.settings, reflect.TypeFor[Config](), "")...)
	r.Config, r.mistakes = c, append(r.mistakes, mistakes...)
	if r.broken == nil {
		r.mistakes = append(r.mistakes, beyond(r.mistakes, c.validate())...)
	}
	return r
}

// beyond returns those of more that are about other keys than the mistakes: what
// could not be read has not the value that somebody gave.
func beyond(mistakes, more []error) []error {
	unread := make([]string, len(mistakes))
	for i, mistake := range mistakes {
		unread[i], _, _ = strings.Cut(mistake.Error(), ":")
	}
	return slices.DeleteFunc(more, func(mistake error) bool {
		key, _, _ := strings.Cut(mistake.Error(), ":")
		return slices.ContainsFunc(unread, func(k string) bool {
			return key == k || strings.HasPrefix(key, k+".") || strings.HasPrefix(key, k+"[")
		})
	})
}

// readFile returns the text of file, nothing if it is the default file
// and does not exist.
func readFile(file string) ([]byte, error) {
	text, err := os.ReadFile(cmp.Or(file, DefaultFile))
	if file == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return text, nil
}

// decode fills a Config from what v holds. A mistake begins with its key.
func decode(v *viper.Viper) (Config, []error) {
	c := Default()
	forgetLists(v, reflect.ValueOf(&c).Elem(), "")
	var meta mapstructure.Metadata
	err := v.Unmarshal(&c, func(d *mapstructure.DecoderConfig) {
		d.Metadata = &meta
		d.WeaklyTypedInput = false
	})
	var mistakes []error
	slices.Sort(meta.Unused) // they come from a map
	for _, key := range meta.Unused {
		mistakes = append(mistakes, noSuchKey(key))
	}
	return c, append(mistakes, decodeMistakes(err)...)
}

// forgetLists empties every list of c that v sets. Otherwise the first of two
// rules in a file would inherit what it leaves out from the first default rule.
func forgetLists(v *viper.Viper, c reflect.Value, prefix string) {
	for field, value := range c.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			forgetLists(v, value, prefix)
		case name == "" || name == "-":
			continue
		case isSection(field.Type):
			forgetLists(v, value, prefix+name+".")
		case field.Type.Kind() == reflect.Slice && v.IsSet(prefix+name):
			value.SetZero()
		}
	}
}

// decodeMistakes turns mapstructure's tree of errors into a list.
func decodeMistakes(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // walks the tree itself
		var all []error
		for _, inner := range joined.Unwrap() {
			all = append(all, decodeMistakes(inner)...)
		}
		return all
	}
	if field, ok := err.(*mapstructure.DecodeError); ok { //nolint:errorlint // walks the tree itself
		return []error{fmt.Errorf("%s: %w", field.Name(), innermost(field))}
	}
	if inner := errors.Unwrap(err); inner != nil {
		return decodeMistakes(inner)
	}
	return []error{err}
}

// innermost follows single wrapping to its end.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// applyEnviron lays UPPERCUT_SECTION_KEY=value over what v holds. A variable
// that names no key is a mistake: it would be a setting that silently is not.
func applyEnviron(v *viper.Viper, environ []string) (mistakes []error) {
	keys := allKeys(reflect.TypeFor[Config](), "")
	for _, assignment := range environ {
		name, value, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, "UPPERCUT_") {
			continue
		}
		i := slices.IndexFunc(keys, func(key string) bool { return environName(key) == name })
		if i < 0 {
			mistakes = append(mistakes, noSuchVariable(name, keys))
			continue
		}
		setting, err := parseValue(value)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("environment: %s: %w", name, err))
			continue
		}
		v.Set(keys[i], setting)
	}
	return mistakes
}

// noSuchVariable says that a variable names none of keys, and which was meant.
func noSuchVariable(name string, keys []string) error {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = environName(key)
	}
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("environment: %s: no such key, did you mean %s?", name, near)
	}
	return fmt.Errorf("environment: %s: no such key", name)
}

func environName(key string) string {
	return "UPPERCUT_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// allKeys lists the dotted keys of every setting in t.
func allKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			keys = append(keys, allKeys(field.Type, prefix)...)
		case name == "" || name == "-":
			continue
		case isSection(field.Type):
			keys = append(keys, allKeys(field.Type, prefix+name+".")...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// isSection tells a struct of settings from a value such as netip.Prefix.
func isSection(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for field := range t.Fields() {
		if field.Tag.Get("mapstructure") != "" {
			return true
		}
	}
	return false
}
