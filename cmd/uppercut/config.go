package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/outbox"
	"uppercut/detector"
	"uppercut/enforcer"
	"uppercut/enforcer/blocklist"
	"uppercut/enforcer/guard"
	"uppercut/receiver"
)

const defaultConfigFile = "/etc/uppercut/uppercut.yaml"

// Modes.
const (
	modeEnforce = "enforce"
	modeObserve = "observe"
)

// Config is the whole configuration. Each package documents and checks its own
// section.
type Config struct {
	// Mode is what happens to a block: enforce writes it to the kernel, observe
	// does everything else and blocks nobody. Default: enforce.
	Mode string `mapstructure:"mode"`
	// StateDir is the directory of the ledger, the snapshot of scores and the
	// control socket. Default: /var/lib/uppercut.
	StateDir string `mapstructure:"state_dir"`
	// Receiver is where uppercut listens, and who may send logs.
	Receiver receiver.Config `mapstructure:"receiver"`
	// Detector holds the rules and weights.
	Detector detector.Config `mapstructure:"detector"`
	// Enforcer is how blocking works, and who is never blocked.
	Enforcer EnforcerConfig `mapstructure:"enforcer"`
	// Events is where blocks and other events are sent, besides the log.
	Events outbox.Config `mapstructure:"events"`
	// Web is where the page and the metrics are served.
	Web console.Config `mapstructure:"web"`
}

// EnforcerConfig is how to block, and whom never.
type EnforcerConfig struct {
	enforcer.Config `mapstructure:",squash"`
	// Allow lists who is never blocked: addresses, networks, ranges
	// "192.0.2.10-192.0.2.19", files "file:/path" with one entry a line, and DNS
	// names, of which all addresses count. Default: none.
	Allow []string `mapstructure:"allow"`
	// Block lists files of addresses that are always blocked, such as {file:
	// /etc/uppercut/drop.txt}, with at most a million entries in all. The allow
	// list and the guard take precedence. These blocks have the rule blocklist
	// and no end; they are removed when the file no longer lists them. Default:
	// none.
	Block []blocklist.Config `mapstructure:"block"`
	// Guard is who else is never blocked.
	Guard guard.Config `mapstructure:"guard"`
}

// section is a part of the configuration that knows its own mistakes. The
// errors begin with keys within the section.
type section struct {
	key        string
	validate   func() error
	checkFiles func() error // reads the files that the section names; nil if it names none
}

func (c *Config) sections() []section {
	guarded := c.guardConfig()
	return []section{
		{"receiver", c.Receiver.Validate, c.Receiver.CheckFiles},
		{"detector", c.Detector.Validate, nil},
		{"enforcer", c.Enforcer.Validate, nil},
		{"enforcer", guarded.Validate, guarded.CheckFiles},
		{"enforcer.block", c.validateBlock, c.checkBlock},
		{"events", c.Events.Validate, c.Events.CheckFiles},
		{"web", c.Web.Validate, c.Web.CheckFiles},
	}
}

// defaultConfig is what runs without a file.
func defaultConfig() Config {
	return Config{
		Mode:     modeEnforce,
		StateDir: "/var/lib/uppercut",
		Receiver: receiver.DefaultConfig(),
		Detector: detector.DefaultConfig(),
		Enforcer: EnforcerConfig{Config: enforcer.DefaultConfig(), Guard: guard.DefaultConfig()},
		Events:   outbox.DefaultConfig(),
		Web:      console.DefaultConfig(),
	}
}

// validate returns every mistake, each beginning with its key.
func (c *Config) validate() []error {
	var mistakes []error
	if c.Mode != modeEnforce && c.Mode != modeObserve {
		mistakes = append(mistakes, fmt.Errorf("mode: %q is neither enforce nor observe", c.Mode))
	}
	if !filepath.IsAbs(c.StateDir) {
		mistakes = append(mistakes, fmt.Errorf("state_dir: %q is not an absolute path", c.StateDir))
	}
	for _, s := range c.sections() {
		mistakes = append(mistakes, s.keyed(s.validate())...)
	}
	return mistakes
}

func (c *Config) validateBlock() error { return blocklist.Validate(c.Enforcer.Block) }
func (c *Config) checkBlock() error    { return blocklist.CheckFiles(c.Enforcer.Block) }

// keyed takes the errors in err apart and puts the section's key before each.
func (s section) keyed(err error) (mistakes []error) {
	for _, mistake := range unjoin(err) {
		if strings.HasPrefix(mistake.Error(), "[") { // an entry of a list
			mistakes = append(mistakes, fmt.Errorf("%s%w", s.key, mistake))
			continue
		}
		mistakes = append(mistakes, fmt.Errorf("%s.%w", s.key, mistake))
	}
	return mistakes
}

// guardConfig is what the guard needs to know, allow list and senders included.
func (c *Config) guardConfig() guard.Config {
	g := c.Enforcer.Guard
	g.Allow = c.Enforcer.Allow
	g.Senders = slices.Clone(c.Receiver.Senders)
	for _, host := range c.Receiver.Hosts {
		g.Senders = append(g.Senders, host.Addresses...)
	}
	return g
}

// receiverConfig is what the receiver needs to know, sendmail's tags included.
func (c *Config) receiverConfig() receiver.Config {
	r := c.Receiver
	r.Tags = c.Detector.Tags
	return r
}

// enforcerConfig is what the enforcer needs to know: IPv6 sources are blocked
// as they are counted.
func (c *Config) enforcerConfig() enforcer.Config {
	e := c.Enforcer.Config
	e.IPv6PrefixLength = c.Detector.IPv6Prefix
	return e
}

// ruleNames are the names of the rules, in their order.
func (c *Config) ruleNames() []string {
	names := make([]string, len(c.Detector.Rules))
	for i, rule := range c.Detector.Rules {
		names[i] = rule.Name
	}
	return names
}

// unjoin takes errors.Join apart, also one inside another.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // exactly this error, not one inside it
	if !ok {
		return []error{err}
	}
	var all []error
	for _, inner := range joined.Unwrap() {
		all = append(all, unjoin(inner)...)
	}
	return all
}

// reading is a configuration as far as it could be read.
type reading struct {
	config   Config
	doc      *document
	broken   error   // why there is no reading the file; nil if it could be read
	mistakes []error // in file, environment and flags, each beginning with its key
	// placed: the state directory is the one that somebody has named, or the
	// default since nobody has. A file that was named and cannot be opened may
	// have named another.
	placed bool
}

// err names every mistake, with the key and the line; nil if there is none.
func (r *reading) err() error { return errors.Join(r.broken, r.doc.locate(r.mistakes)) }

// of returns the mistakes in some keys, and in what belongs to them.
func (r *reading) of(keys ...string) (mistakes []error) {
	for _, mistake := range r.mistakes {
		key, _, _ := strings.Cut(mistake.Error(), ":")
		key, _, _ = strings.Cut(key, "[")
		if slices.Contains(keys, key) {
			mistakes = append(mistakes, mistake)
		}
	}
	return mistakes
}

// checkFiles reads the files that the configuration names and returns what is
// wrong with them: what would keep a valid configuration from being served.
func (r *reading) checkFiles() error {
	for _, s := range r.config.sections() {
		if s.checkFiles != nil {
			r.mistakes = append(r.mistakes, s.keyed(s.checkFiles())...)
		}
	}
	return r.err()
}

// loadConfig reads file (the default file may be missing, one that is named may
// not), lays the environment's UPPERCUT_... and the settings of flags over it
// and checks the whole. The error names every mistake, with the key and the
// line.
func loadConfig(file string, flags map[string]string, environ []string) (Config, error) {
	r := readConfig(file, flags, environ)
	return r.config, r.err()
}

// readConfig is loadConfig for those who need only a part.
func readConfig(file string, flags map[string]string, environ []string) reading {
	r := reading{doc: &document{name: cmp.Or(file, defaultConfigFile), root: new(yaml.Node)}}
	text, err := readConfigFile(file)
	opened := err == nil
	if opened {
		r.doc, err = parseDocument(r.doc.name, text)
	}
	v := viper.NewWithOptions(viper.WithDecodeHook(decodeHook()))
	r.broken = errors.Join(err, v.MergeConfigMap(r.doc.settings))
	r.mistakes = applyEnviron(v, environ)
	for key, value := range flags {
		v.Set(key, value)
	}
	r.placed = opened || file == "" || v.IsSet("state_dir")
	c, mistakes := decode(v)
	mistakes = append(mistakes, unknownEmpty(r.doc.settings, reflect.TypeFor[Config](), "")...)
	r.config, r.mistakes = c, append(r.mistakes, mistakes...)
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

// readConfigFile returns the text of file, nothing if it is the default file
// and does not exist.
func readConfigFile(file string) ([]byte, error) {
	text, err := os.ReadFile(cmp.Or(file, defaultConfigFile))
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
	c := defaultConfig()
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
	keys := configKeys(reflect.TypeFor[Config](), "")
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

// configKeys lists the dotted keys of every setting in t.
func configKeys(t reflect.Type, prefix string) []string {
	var keys []string
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			keys = append(keys, configKeys(field.Type, prefix)...)
		case name == "" || name == "-":
			continue
		case isSection(field.Type):
			keys = append(keys, configKeys(field.Type, prefix+name+".")...)
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
