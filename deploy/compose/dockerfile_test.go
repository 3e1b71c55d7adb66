package compose

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/opencontainers/go-digest"
)

const dockerfile = "../Dockerfile"

// bareImage answers for any image of a registry that it sets nothing.
type bareImage struct{}

func (bareImage) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"os":"linux","architecture":"amd64"}`), nil
}

// lint returns what BuildKit's linter says of a Dockerfile, by rule.
func lint(t *testing.T, text string) map[string]string {
	t.Helper()
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte(text))
	source.Definition = &llb.Definition{}
	results, err := dockerfile2llb.DockerfileLint(t.Context(), []byte(text), dockerfile2llb.ConvertOpt{
		MetaResolver: bareImage{},
		SourceMap:    source,
	})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	if results.Error != nil {
		found["error"] = results.Error.Message
	}
	for _, w := range results.Warnings {
		found[w.RuleName] = w.Detail
	}
	return found
}

func readDockerfile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDockerfileHasNoWarning(t *testing.T) {
	for rule, detail := range lint(t, readDockerfile(t)) {
		t.Errorf("%s: %s", rule, detail)
	}
}

// The linter does find mistakes in this very file.
func TestLinterFinds(t *testing.T) {
	for rule, change := range map[string][2]string{
		"ConsistentInstructionCasing": {"COPY . .", "copy . ."},
		"UndefinedVar":                {"/uppercut /usr", "/$UPPERCUT /usr"},
		"JSONArgsRecommended":         {`CMD ["serve"]`, "CMD serve"},
		"error":                       {"FROM scratch", "FROM scratch AS"},
	} {
		text := readDockerfile(t)
		broken := strings.Replace(text, change[0], change[1], 1)
		if broken == text {
			t.Fatalf("%s: the Dockerfile has no %q", rule, change[0])
		}
		if found := lint(t, broken); found[rule] == "" {
			t.Errorf("%s was not found, but %v", rule, found)
		}
	}
}
