package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Name returns a name that begins with prefix and holds the id of this process:
// for a namespace, or for whatever else must not outlive the process.
func Name(prefix, role string) string {
	return fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), role)
}

// Left lists the entries of a directory that have names with this prefix, made
// by Name in processes that are no more.
func Left(dir, prefix string) (names []string) {
	entries, _ := os.ReadDir(dir) // none where nothing was ever made
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(entry.Name(), prefix)
		id, _, whole := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(id)
		if !ours || !whole || err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); errors.Is(err, os.ErrNotExist) {
			names = append(names, entry.Name())
		}
	}
	return names
}

// Sweep removes the namespaces with this prefix whose processes are no more.
func Sweep(prefix string) {
	for _, name := range Left(dir, prefix) {
		_ = ip("netns", "del", name) // another may sweep at the same time
	}
}
