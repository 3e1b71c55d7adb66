package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// group is a control group of a memory limit, within the one that we are in.
type group struct {
	dir           string
	limit, events string // files
}

// newGroup makes a group of so many bytes: of version 2 where the machine gives
// its memory to groups of that version, else of version 1.
func newGroup(name string, bytes int) (*group, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var candidates []*group
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch parts[1] {
		case "":
			candidates = append(candidates, &group{dir: filepath.Join("/sys/fs/cgroup", parts[2], name), limit: "memory.max", events: "memory.events"})
		case "memory":
			candidates = append(candidates, &group{dir: filepath.Join("/sys/fs/cgroup/memory", parts[2], name), limit: "memory.limit_in_bytes", events: "memory.oom_control"})
		}
	}
	err = fmt.Errorf("no control group with a memory limit in %q", text)
	for _, g := range candidates {
		if err = g.make(bytes); err == nil {
			return g, nil
		}
	}
	return nil, err
}

// make makes the group. Where its parent does not yet give memory limits to
// groups below, it is asked to.
func (g *group) make(bytes int) error {
	if g.limit == "memory.max" {
		_ = os.WriteFile(filepath.Join(filepath.Dir(g.dir), "cgroup.subtree_control"), []byte("+memory"), 0)
	}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(g.dir, g.limit), []byte(strconv.Itoa(bytes)), 0); err != nil {
		_ = g.remove()
		return err
	}
	return nil
}

// add moves a process into the group.
func (g *group) add(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// remove removes the group; no process may be in it any more.
func (g *group) remove() error { return os.Remove(g.dir) }
