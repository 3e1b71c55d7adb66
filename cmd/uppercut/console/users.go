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

	mu    sync.Mutex                 // never held during a comparison
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

// nobodysHash is compared for a user who does not exist, so that the answer
// takes as long. It is that of the exporter-toolkit.
const nobodysHash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

// keyOf stands for a password that was found right.
func keyOf(hash, password string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(hash), hash, password))
}

// remembers reports whether a password was found right before.
func (u *users) remembers(hash, password string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.known[keyOf(hash, password)]
}

// matches compares a password; see attempts for who may have it compared.
func (u *users) matches(hash, password string) bool {
	if u.remembers(hash, password) {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[keyOf(hash, password)] = true
	return true
}
