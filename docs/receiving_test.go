package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReceivingShowsTheSenderFiles holds the page against the files that
// uppercut sender-config prints.
func TestReceivingShowsTheSenderFiles(t *testing.T) {
	page, err := os.ReadFile("receiving.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../deploy/senders/*.conf")
	if err != nil || len(files) != 9 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var indented strings.Builder
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				indented.WriteString("    ")
			}
			indented.WriteString(line)
		}
		if !strings.Contains(string(page), indented.String()) {
			t.Errorf("the page does not show %s as it is", file)
		}
	}
}
