package console

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"sync"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// users are those of the web configuration file.
//
// The exporter-toolkit in front of us has checked the password already, if the
// file named users when it looked. It reads the file for each request, as we
// do, and the file may change between the two: so what it let through is
// checked again before anything is shown or done.
type users struct {
	file string

	mu    sync.Mutex
	known map[[sha256.Size]byte]bool // passwords found right: bcrypt is slow on purpose
}

// maxKnown bounds the memory of right passwords.
const maxKnown = 1000

func newUsers(file string) *users {
	return &users{file: file, known: make(map[[sha256.Size]byte]bool)}
}

func (u *users) read() (map[string]string, error) {
	if u.file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(u.file)
	if err != nil {
		return nil, fmt.Errorf("read web configuration: %w", err)
	}
	var c struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read web configuration %q: %w", u.file, err)
	}
	return c.Users, nil
}

// authenticate returns the user who sends r; false if nobody has proven to.
func (u *users) authenticate(r *http.Request) (string, bool) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return "", false
	}
	hashes, err := u.read()
	if err != nil {
		return "", false
	}
	hash, ok := hashes[name]
	return name, ok && u.matches(hash, password)
}

// required reports whether the page is for users alone. A file that cannot be
// read lets nobody in.
func (u *users) required() bool {
	users, err := u.read()
	return err != nil || len(users) > 0
}

func (u *users) matches(hash, password string) bool {
	u.mu.Lock()
	defer u.mu.Unlock() // one bcrypt at a time: they must not take the machine
	key := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(hash), hash, password))
	if u.known[key] {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false
	}
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[key] = true
	return true
}
