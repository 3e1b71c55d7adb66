// Package statedir keeps files in the state directory where nobody else can put
// a hand on them: the directory belongs to us or root and others may not write to
// it, symbolic links in it are not followed, and a file is replaced as a whole.
//
// All functions are safe for concurrent use, Replace by one at a time for a path.
package statedir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Prepare makes the directory if it is not there. The error says what is wrong
// with one that others may write to.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return fmt.Errorf("%q is not a directory", dir)
	}
	return trusted(dir, info.Mode(), int(owner.Uid), int(owner.Gid))
}

// trusted returns why a directory must not be used: whoever may write to it could
// put another ledger in the place of ours.
func trusted(dir string, mode fs.FileMode, uid, gid int) error {
	const groupWrites, othersWrite = 0o020, 0o002
	switch {
	case mode&othersWrite != 0:
		return fmt.Errorf("%q: it is world-writable (mode %#o): chmod o-w %[1]s", dir, mode.Perm())
	case uid != 0 && uid != os.Geteuid():
		return fmt.Errorf("%q: it belongs to user %d, but uppercut runs as user %d: chown it", dir, uid, os.Geteuid())
	case mode&groupWrites != 0 && !ownGroup(gid):
		return fmt.Errorf("%q: it is writable by group %d (mode %#o), which uppercut is not in: chmod g-w %[1]s", dir, gid, mode.Perm())
	}
	return nil
}

func ownGroup(gid int) bool {
	groups, err := os.Getgroups()
	return gid == 0 || gid == os.Getegid() || err == nil && slices.Contains(groups, gid)
}

// ErrLink says that a file is a symbolic link, which is not followed.
var ErrLink = errors.New("it is a symbolic link, which is not followed")

var errIrregular = errors.New("it is not a regular file")

// Open opens a regular file to read: a FIFO would have us wait for a writer. If
// there is none the error wraps fs.ErrNotExist.
func Open(path string) (f *os.File, err error) {
	err = in(path, func(root *os.Root, name string) error {
		info, err := root.Lstat(name)
		if err != nil {
			return err
		}
		switch {
		case info.Mode().Type() == fs.ModeSymlink:
			return ErrLink
		case !info.Mode().IsRegular():
			return errIrregular
		}
		f, err = root.Open(name)
		return err
	})
	return f, err
}

// Replace writes a file and puts it in the place of an older one in one step:
// after a crash it is the old one or the new one.
func Replace(path string, write func(io.Writer) error) error {
	return in(path, func(root *os.Root, name string) error {
		// One name, so that a crash while writing leaves one file, however often.
		fresh := name + ".new"
		if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := root.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
			return errors.Join(err, root.Remove(fresh))
		}
		return root.Rename(fresh, name)
	})
}

// SetAside renames a file that is damaged, in the place of one that was set aside
// before, and returns its new path.
func SetAside(path string) (aside string, err error) {
	aside = path + ".damaged"
	return aside, in(path, func(root *os.Root, name string) error { return root.Rename(name, name+".damaged") })
}

// in calls f with the directory of path.
func in(path string, f func(root *os.Root, name string) error) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	return f(root, filepath.Base(path))
}
