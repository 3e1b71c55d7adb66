// Package config reads the configuration: a YAML file, UPPERCUT_... in the
// environment and the flags of the command line, the last of which wins. Each
// section is the Config of the package that it configures, which documents and
// checks it; docs/configuration.md is generated from those comments.
//
// A Source says where the configuration comes from. Its Reading is as much of it
// as could be read, with every mistake, since some commands need only a part.
package config
