package config

import (
	"fmt"
	"reflect"

	"uppercut/receiver"
)

// NeedsRestart refuses changes that cannot be put in force while running. The
// error begins with the key. Sources are blocked as they are counted, so that the
// prefix by which they are counted goes with the enforcer.
func NeedsRestart(old, now *Config) error {
	for _, part := range []struct {
		key      string
		old, now any
	}{
		{"mode", old.Mode, now.Mode},
		{"state_dir", old.StateDir, now.StateDir},
		{"detector.ipv6_prefix", old.Detector.IPv6Prefix, now.Detector.IPv6Prefix},
		{"enforcer", old.Enforcer.Config, now.Enforcer.Config},
		{"feed.listen", old.Feed.Listen, now.Feed.Listen},
		{"feed.config_file", old.Feed.ConfigFile, now.Feed.ConfigFile},
		{"feed.max_connections", old.Feed.MaxConnections, now.Feed.MaxConnections},
		{"feed.zones", old.Feed.Zones, now.Feed.Zones},
		{"web", old.Web, now.Web},
	} {
		if key := changedKey(part.key, reflect.ValueOf(part.old), reflect.ValueOf(part.now)); key != "" {
			return fmt.Errorf("%s: changed; this needs a restart", key)
		}
	}
	if err := receiver.NeedsRestart(old.Receiver, now.Receiver); err != nil {
		return fmt.Errorf("receiver.%w", err)
	}
	return nil
}

// changedKey returns the first setting at or below key that differs, "" if none
// does.
func changedKey(key string, old, now reflect.Value) string {
	if !isSection(old.Type()) {
		if reflect.DeepEqual(old.Interface(), now.Interface()) {
			return ""
		}
		return key
	}
	for field, value := range old.Fields() {
		if changed := changedKey(key+"."+field.Tag.Get("mapstructure"), value, now.FieldByIndex(field.Index)); changed != "" {
			return changed
		}
	}
	return ""
}
