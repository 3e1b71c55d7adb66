// Notices prints the licences of everything that a Go binary is made of: Go's own
// and those of the modules that the binary names (go version -m). They must go
// along with the binary.
//
//	go run ./deploy/notices BINARY
//
// The modules must be in the module cache, as they are after a build.
package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: notices BINARY")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// write writes the notices of a binary, in the order of its modules.
func write(w io.Writer, binary string) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	root, err := goEnv("GOROOT")
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "This program contains the following, each under its own licence.")
	if err := section(w, "The Go programming language "+info.GoVersion, root); err != nil {
		return err
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		dir, err := directory(m)
		if err != nil {
			return err
		}
		if err := section(w, m.Path+" "+m.Version, dir); err != nil {
			return err
		}
	}
	return nil
}

// directory is where a module lies in the module cache.
func directory(m *debug.Module) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-mod=mod", "-f", "{{.Dir}}", m.Path+"@"+m.Version).Output()
	if err != nil {
		return "", fmt.Errorf("find %s: %w", m.Path, err)
	}
	if dir := strings.TrimSpace(string(out)); dir != "" {
		return dir, nil
	}
	return "", fmt.Errorf("%s is not in the module cache", m.Path)
}

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out)), err
}

// section writes the licence files in a directory under a heading.
func section(w io.Writer, heading, dir string) error {
	files, err := licenceFiles(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", heading, err)
	}
	line := strings.Repeat("=", 78)
	fmt.Fprintf(w, "\n%s\n%s\n%s\n", line, heading, line)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(string(text)))
	}
	return nil
}

// licenceFiles returns the licences and notices in a directory, a licence at
// least.
func licenceFiles(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	licences := 0
	for _, e := range entries {
		name := strings.ToUpper(e.Name())
		begins := func(word string) bool { return strings.HasPrefix(name, word) }
		if e.IsDir() || strings.HasSuffix(name, ".GO") {
			continue
		}
		if slices.ContainsFunc([]string{"LICENSE", "LICENCE", "COPYING"}, begins) {
			licences++
		} else if !slices.ContainsFunc([]string{"NOTICE", "PATENTS", "COPYRIGHT"}, begins) {
			continue
		}
		files = append(files, filepath.Join(dir, e.Name()))
	}
	if licences == 0 {
		return nil, errors.New("no licence in its directory")
	}
	return files, nil
}
