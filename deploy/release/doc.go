// Package release holds the command that builds a release, and the test that
// two builds of it are equal.
package release
