package enforcer

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Some tests need a process of their own: to be killed, to have fewer powers,
// to be measured. They run this binary again, with the part to play here.
const (
	envRole  = "UPPERCUT_TEST_ROLE"
	envNetNS = "UPPERCUT_TEST_NETNS" // name of a network namespace; the child's own if empty
	envState = "UPPERCUT_TEST_STATE" // state directory
)

// roles are the parts that a child can play.
var roles = map[string]func() error{}

func TestMain(m *testing.M) {
	role, ok := roles[os.Getenv(envRole)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child returns a command that plays role, behind what wraps it.
func child(t testing.TB, role string, ns *kernel, state string, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), envRole+"="+role, envState+"="+state)
	if ns != nil {
		c.Env = append(c.Env, envNetNS+"="+ns.Name())
	}
	c.Stderr = os.Stderr
	return c
}

// childOptions are the options that the parent chose.
func childOptions() (Options, error) {
	o := Options{StateDir: os.Getenv(envState)}
	name := os.Getenv(envNetNS)
	if name == "" {
		return o, nil
	}
	f, err := os.Open("/run/netns/" + name)
	if err != nil {
		return Options{}, err
	}
	childNetNS = f
	o.NetNS = int(f.Fd())
	return o, nil
}

// childNetNS stays open until the child ends.
var childNetNS *os.File

func say(v any) error { return json.NewEncoder(os.Stdout).Encode(v) }
