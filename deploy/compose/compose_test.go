package compose

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"
)

// root is the checkout, where docker-compose.yml stands.
const root = "../.."

// load reads docker-compose.yml as `docker compose` would with this environment
// and no other.
func load(t *testing.T, environment ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(environment), cli.WithResolvedPaths(true), cli.WithConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func service(t *testing.T, p *types.Project, name string) types.ServiceConfig {
	t.Helper()
	s, err := p.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestServices(t *testing.T) {
	p := load(t)
	if diff := cmp.Diff([]string{"alertmanager", "grafana", "prometheus", "uppercut"}, slices.Sorted(slices.Values(p.ServiceNames()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, s := range p.Services {
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Privileged {
			t.Errorf("%s keeps capabilities: drops %v, privileged %v", name, s.CapDrop, s.Privileged)
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may gain privileges: %v", name, s.SecurityOpt)
		}
		if want := name == "uppercut"; (len(s.CapAdd) > 0) != want {
			t.Errorf("%s adds capabilities %v", name, s.CapAdd)
		}
		if s.NetworkMode != "host" || len(s.Ports) > 0 {
			t.Errorf("%s: network %q, ports %v", name, s.NetworkMode, s.Ports)
		}
	}
}

func TestAppliance(t *testing.T) {
	s := service(t, load(t), "uppercut")
	if diff := cmp.Diff([]string{"NET_ADMIN", "NET_BIND_SERVICE"}, s.CapAdd); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	if !s.ReadOnly || s.Tmpfs != nil {
		t.Errorf("read-only is %v, tmpfs %v", s.ReadOnly, s.Tmpfs)
	}
	if diff := cmp.Diff(types.HealthCheckTest{"CMD", "/usr/bin/uppercut", "health"}, s.HealthCheck.Test); diff != "" {
		t.Errorf("health check (-want +got):\n%s", diff)
	}
	if got := filepath.Join(s.Build.Context, s.Build.Dockerfile); got != absolute(t, dockerfile) {
		t.Errorf("it is built from %s", got)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// Without a word the file's observe mode holds; one variable makes it enforce.
func TestOneVariableEnforces(t *testing.T) {
	if got := service(t, load(t), "uppercut").Environment.ToMapping(); len(got) > 0 {
		t.Errorf("with no edit the environment sets %v", got)
	}
	got := service(t, load(t, "UPPERCUT_MODE=enforce"), "uppercut").Environment.ToMapping()
	if diff := cmp.Diff(types.Mapping{"UPPERCUT_MODE": "enforce"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every tag names a version, except that of the image that is built here.
func TestTagsArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+\.\d+$`)
	for name, s := range load(t).Services {
		if name != "uppercut" && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %s", name, s.Image)
		}
	}
	from := regexp.MustCompile(`(?m)^FROM .*golang:(\S+)`).FindStringSubmatch(readDockerfile(t))
	if from == nil || !regexp.MustCompile(`^\d+\.\d+\.\d+-[a-z]+$`).MatchString(from[1]) {
		t.Errorf("the Dockerfile builds from golang:%v", from)
	}
}

// Every path that is mounted exists, read-only; everything else is a volume
// that the file declares.
func TestMounts(t *testing.T) {
	p := load(t)
	state := map[string]string{}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s: %s (read-only: %v): %v", name, v.Source, v.ReadOnly, err)
				}
			case types.VolumeTypeVolume:
				state[name] = v.Target
				if _, declared := p.Volumes[v.Source]; !declared {
					t.Errorf("%s: volume %s is not declared", name, v.Source)
				}
			default:
				t.Errorf("%s: %s of type %s", name, v.Target, v.Type)
			}
		}
	}
	want := map[string]string{"uppercut": "/var/lib/uppercut", "prometheus": "/prometheus", "alertmanager": "/alertmanager", "grafana": "/var/lib/grafana"}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Errorf("where state is kept (-want +got):\n%s", diff)
	}
}

// What Grafana is given belongs together: the dashboards are where the provider
// looks, and the data source is where Prometheus listens.
func TestGrafanaIsProvisioned(t *testing.T) {
	p := load(t)
	grafana := service(t, p, "grafana")
	mounted := map[string]string{} // by target
	for _, v := range grafana.Volumes {
		mounted[v.Target] = v.Source
	}
	provider := read(t, mounted["/etc/grafana/provisioning/dashboards/uppercut.yaml"])
	path := regexp.MustCompile(`path: ([^}\s]+)`).FindStringSubmatch(provider)
	if path == nil {
		t.Fatalf("the provider names no path:\n%s", provider)
	}
	dashboards, err := filepath.Glob(filepath.Join(mounted[path[1]], "*.json"))
	if err != nil || len(dashboards) < 3 {
		t.Fatalf("%d dashboards in %s: %v", len(dashboards), mounted[path[1]], err)
	}
	for _, file := range dashboards {
		if !json.Valid([]byte(read(t, file))) {
			t.Errorf("%s is not JSON", file)
		}
	}
	source := read(t, mounted["/etc/grafana/provisioning/datasources/uppercut.yml"])
	if want := "url: http://" + flagOf(t, service(t, p, "prometheus"), "web.listen-address") + "\n"; !strings.Contains(source, want) {
		t.Errorf("the data source is not %s:\n%s", want, source)
	}
	if addr, err := netip.ParseAddr(*grafana.Environment["GF_SERVER_HTTP_ADDR"]); err != nil || !addr.IsLoopback() {
		t.Errorf("Grafana listens on %v: %v", addr, err)
	}
}

// flagOf returns the value of a --flag of a service's command.
func flagOf(t *testing.T, s types.ServiceConfig, flag string) string {
	t.Helper()
	for _, arg := range s.Command {
		if value, ok := strings.CutPrefix(arg, "--"+flag+"="); ok {
			return value
		}
	}
	t.Fatalf("%s has no --%s", s.Name, flag)
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
