package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"uppercut/cmd/uppercut/console"
	"uppercut/cmd/uppercut/terminal"
)

// defaultWebConfigFile is where web-user writes if web.config_file names
// nothing.
const defaultWebConfigFile = "/etc/uppercut/web.yml"

// maxPassword is what bcrypt takes, in bytes.
const maxPassword = 72

func newWebUserCommand(env *environment) *cobra.Command {
	var file string
	var remove bool
	command := &cobra.Command{
		Use:   "web-user [--file FILE] [--remove] NAME",
		Short: "Add a user of the status page, change its password, or remove it",
		Long: `web-user adds a user, with a bcrypt hash of the password, to the web configuration
file (web.config_file, else /etc/uppercut/web.yml), and leaves everything else in
the file unchanged. The password is read twice from the terminal, or once from
standard input. The file is replaced atomically; a new one gets mode 0640 and the
group of its directory. A running appliance picks up the change at once. Users
listed in web.readers can see everything but change nothing.`,
		Example: "  uppercut web-user anna",
		Args:    exactlyOne("user name"),
		RunE: func(_ *cobra.Command, args []string) error {
			r := env.read()
			if file == "" {
				file = r.Config.Web.ConfigFile
			}
			if file == "" {
				file = defaultWebConfigFile
			}
			if err := checkUserName(args[0]); err != nil {
				return exitCode{exitUsage, err}
			}
			if err := env.changeUser(file, args[0], remove); err != nil {
				return err
			}
			if r.Config.Web.ConfigFile == "" {
				fmt.Fprintf(env.stdout, "set web.config_file: %s in the configuration and restart uppercut\n", file)
			}
			return nil
		},
	}
	command.Flags().StringVar(&file, "file", "", "web configuration `file` (default web.config_file, else "+defaultWebConfigFile+")")
	command.Flags().BoolVar(&remove, "remove", false, "remove the user")
	return command
}

// checkUserName refuses what a browser cannot send: HTTP ends the name at the
// first colon.
func checkUserName(name string) error {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }) {
		return fmt.Errorf("%q cannot be the name of a user: 1 to 64 characters, no space and no colon", name)
	}
	return nil
}

// changeUser sets the password of a user in the web configuration file, or
// removes the user.
func (e *environment) changeUser(file, name string, remove bool) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read web configuration: %w", err)
	}
	hash := ""
	if !remove {
		password, err := e.newPassword(name)
		if err != nil {
			return err
		}
		sum, err := bcrypt.GenerateFromPassword(password, bcrypt.DefaultCost)
		if err != nil {
			return fmt.Errorf("hash the password: %w", err)
		}
		hash = string(sum)
	}
	changed, found, err := withUser(text, name, hash)
	switch {
	case err != nil:
		return fmt.Errorf("web configuration %q: %w", file, err)
	case remove && !found:
		fmt.Fprintf(e.stdout, "no user %s in %s\n", name, file)
		return exitCode{code: exitNo}
	}
	if err := replaceFile(file, changed); err != nil {
		return err
	}
	if err := (console.Config{ConfigFile: file}).CheckFiles(); err != nil {
		fmt.Fprintf(e.stderr, "uppercut: warning: web.%v\n", err)
	}
	did := "added to"
	if remove {
		did = "removed from"
	} else if found {
		did = "password changed in"
	}
	fmt.Fprintf(e.stdout, "%s: %s %s\n", name, did, file)
	return nil
}

// withUser returns a web configuration in which name has hash, or none if that
// is empty, and whether the user was there. Comments and order stay.
func withUser(text []byte, name, hash string) (changed []byte, found bool, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, false, err
	}
	var out bytes.Buffer
	if doc.Kind == 0 || doc.Content[0].Tag == "!!null" { // nothing but comments, which are no part of what is read
		out.Write(text)
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, false, errors.New("is not a mapping of keys to values")
	}
	users := valueOf(root, "basic_auth_users")
	if users == nil || users.Tag == "!!null" {
		removeKey(root, "basic_auth_users")
		users = &yaml.Node{Kind: yaml.MappingNode}
		root.Content = append(root.Content, stringNode("basic_auth_users"), users)
	}
	if users.Kind != yaml.MappingNode {
		return nil, false, errors.New("basic_auth_users is not a mapping of names to hashes")
	}
	users.Style = 0
	if found = valueOf(users, name) != nil; found {
		removeKey(users, name)
	}
	if hash != "" {
		users.Content = append(users.Content, stringNode(name), stringNode(hash))
	}
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err = errors.Join(encoder.Encode(&doc), encoder.Close())
	return out.Bytes(), found, err
}

func stringNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func indexOf(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	if i := indexOf(mapping, key); i >= 0 {
		return mapping.Content[i+1]
	}
	return nil
}

func removeKey(mapping *yaml.Node, key string) {
	if i := indexOf(mapping, key); i >= 0 {
		mapping.Content = slices.Delete(mapping.Content, i, i+2)
	}
}

// replaceFile writes a file that holds secrets in one step. It keeps the mode
// and owner of the one before; a new one belongs to the group of its directory.
func replaceFile(path string, text []byte) (err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	mode, uid, gid := fs.FileMode(0o640), -1, -1
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(path))
	} else if err == nil {
		mode = info.Mode().Perm()
	}
	if err != nil {
		return fmt.Errorf("write web configuration: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		gid = int(stat.Gid)
		if !info.IsDir() {
			uid = int(stat.Uid)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write web configuration: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("write web configuration %q: %w", path, err)
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chown(uid, gid), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// newPassword asks the terminal twice, or reads one line.
func (e *environment) newPassword(name string) ([]byte, error) {
	lines := bufio.NewReader(e.stdin)
	in, ok := e.stdin.(*os.File)
	if !ok || !terminal.IsTerminal(in) {
		line, err := readLine(lines)
		if err != nil {
			return nil, err
		}
		return line, checkPassword(line)
	}
	show, err := hideInput(in)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	defer show()
	var typed [2][]byte
	for i, prompt := range []string{"Password for " + name + ": ", "\nAgain: "} {
		fmt.Fprint(e.stderr, prompt)
		if typed[i], err = readLine(lines); err != nil {
			return nil, err
		}
	}
	fmt.Fprintln(e.stderr)
	if !bytes.Equal(typed[0], typed[1]) {
		return nil, errors.New("the two passwords differ")
	}
	return typed[0], checkPassword(typed[0])
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

func checkPassword(password []byte) error {
	switch {
	case len(password) == 0:
		return errors.New("the password is empty")
	case len(password) > maxPassword:
		return fmt.Errorf("the password has %d bytes; bcrypt takes at most %d", len(password), maxPassword)
	}
	return nil
}

// hideInput stops the terminal from showing what is typed, until show.
func hideInput(f *os.File) (show func(), err error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}
