package compose

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// builder is buildah with a store of its own. No registry is asked: the image
// that the Dockerfile builds in is this machine's /usr under its name.
type builder struct {
	dir  string
	once sync.Once
	base string // the name of the image to build in

	built map[string]image // by platform
}

// image is one that was built, with its file system.
type image struct {
	config imageConfig
	rootfs string
}

// images is the store of all tests; TestMain removes it.
var images = builder{built: map[string]image{}}

const version = "1.2.3"

// buildah runs it and returns what it prints.
func (b *builder) buildah(t *testing.T, args ...string) string {
	t.Helper()
	global := []string{"--root", filepath.Join(b.dir, "store"), "--runroot", filepath.Join(b.dir, "run"), "--storage-driver", "vfs"}
	cmd := exec.Command("buildah", append(global, args...)...)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("buildah %s: %v\n%s%s", strings.Join(args, " "), err, out, problems.String())
	}
	return strings.TrimSpace(string(out))
}

// prepare makes the image that the Dockerfile's first FROM asks for.
func (b *builder) prepare(t *testing.T) {
	t.Helper()
	b.once.Do(func() {
		b.base = regexp.MustCompile(`(?m)^FROM \S+ (\S+) AS build`).FindStringSubmatch(readDockerfile(t))[1]
		container := b.buildah(t, "from", "scratch")
		b.fillBase(t, b.buildah(t, "mount", container))
		b.buildah(t, "config", "--env", "PATH="+goEnv(t, "GOROOT")+"/bin:/usr/sbin:/usr/bin", "--env", "GOPATH=/go", container)
		b.buildah(t, "commit", "--quiet", container, b.base)
		b.buildah(t, "rm", container)
	})
}

// fillBase gives the image what is not in /usr.
func (b *builder) fillBase(t *testing.T, base string) {
	t.Helper()
	for _, dir := range []string{"usr", "tmp", "root", "etc/ssl/certs", "go/pkg/mod"} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+dir, filepath.Join(base, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"etc/passwd", "etc/group", "etc/ssl/certs/ca-certificates.crt"} {
		if err := os.WriteFile(filepath.Join(base, file), []byte(read(t, "/"+file)), 0o644); err != nil { //nolint:gosec // as on the machine
			t.Fatal(err)
		}
	}
}

// build builds the image for a platform as the Dockerfile says, with this
// machine's Go caches, once for all tests.
func (b *builder) build(t *testing.T, platform string) image {
	t.Helper()
	if i, ok := b.built[platform]; ok {
		return i
	}
	b.prepare(t)
	goroot := goEnv(t, "GOROOT")
	name := "uppercut:" + strings.ReplaceAll(platform, "/", "-")
	b.buildah(t, "build", "--isolation", "chroot", "--pull-never", "--quiet", "--platform", platform, "--file", dockerfile,
		"--build-arg", "BUILDPLATFORM=linux/"+goEnv(t, "GOARCH"), "--build-arg", "VERSION=v"+version,
		"--volume", "/usr:/usr:ro", "--volume", goroot+":"+goroot+":ro",
		"--volume", goEnv(t, "GOMODCACHE")+":/go/pkg/mod", "--volume", goEnv(t, "GOCACHE")+":/root/.cache/go-build",
		"--tag", name, root)
	var inspected struct{ OCIv1 imageConfig }
	if err := json.Unmarshal([]byte(b.buildah(t, "inspect", "--type", "image", name)), &inspected); err != nil {
		t.Fatal(err)
	}
	container := b.buildah(t, "from", "--pull-never", "--platform", platform, name)
	b.built[platform] = image{inspected.OCIv1, b.buildah(t, "mount", container)}
	return b.built[platform]
}

// imageConfig is what an image says of itself.
type imageConfig struct {
	Architecture string
	OS           string
	Variant      string
	Config       struct {
		User       string
		Entrypoint []string
		Cmd        []string
		Labels     map[string]string
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestImage builds the image for every platform that we name and looks into it.
func TestImage(t *testing.T) {
	for platform, machine := range map[string]string{
		"linux/amd64":  "x86-64",
		"linux/arm64":  "ARM aarch64",
		"linux/arm/v7": "ARM, EABI5",
	} {
		t.Run(platform, func(t *testing.T) {
			built := images.build(t, platform)
			config, rootfs := built.config, built.rootfs
			if got := strings.TrimSuffix(config.OS+"/"+config.Architecture+"/"+config.Variant, "/"); got != platform {
				t.Errorf("the image is of %s", got)
			}
			if config.Config.User != "65532:0" || config.Config.Labels["org.opencontainers.image.version"] != "v"+version {
				t.Errorf("config %+v", config.Config)
			}
			kind := output(t, "file", "--brief", filepath.Join(rootfs, "usr/bin/uppercut"))
			if !strings.Contains(kind, machine) || !strings.Contains(kind, "statically linked") {
				t.Errorf("the binary is: %s", kind)
			}
			if got := output(t, "stat", "--format", "%A %u %g", filepath.Join(rootfs, "var/lib/uppercut")); got != "drwxrwx--- 0 0\n" {
				t.Errorf("the state directory has %s", got)
			}
			onlyHolds(t, rootfs, "etc/ssl/certs/ca-certificates.crt", "etc/uppercut/uppercut.yaml", "usr/bin/uppercut", "usr/share/doc/uppercut/NOTICES")
		})
	}
}

// onlyHolds looks at every file of the image, and at its size.
func onlyHolds(t *testing.T, rootfs string, want ...string) {
	t.Helper()
	var got []string
	var size int64
	err := filepath.WalkDir(rootfs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, _ := filepath.Rel(rootfs, path)
		got = append(got, relative)
		info, err := entry.Info()
		size += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("it holds %v, want %v", got, want)
	}
	if size > 64<<20 {
		t.Errorf("it has %d MiB", size>>20)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
