// Package systemd holds the units and the tests that systemd's own tools judge
// them by.
package systemd
