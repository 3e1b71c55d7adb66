// Package kernels holds run, which boots Debian's kernels in qemu and runs what
// depends on the kernel there, and the tests of its parts that need no guest.
package kernels
