// Package pack holds what the deb and the rpm are made of, and the
// tests that build, inspect, install, upgrade and remove them.
package pack
