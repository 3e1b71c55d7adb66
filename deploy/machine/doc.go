// Package machine holds run, which installs the Debian package on whole machines in
// qemu and tries there what needs systemd, a reboot or a power cut, and the tests of
// its parts that need no guest.
package machine
