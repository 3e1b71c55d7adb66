// Command grafana writes the dashboards of this directory. They are made by
// code so that every panel has a unit and a description and every query the
// same variables, and committed as JSON so that Grafana provisions them without
// a click.
//
//	go run . [DIRECTORY]    (default: dashboards)
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// dashboards are all of them, by file name.
var dashboards = map[string]func() *dashboard.DashboardBuilder{
	"uppercut-overview.json": overview,
	"uppercut-fleet.json":    fleet,
	"uppercut-pipeline.json": pipeline,
}

func main() {
	dir := "dashboards"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	for name := range dashboards {
		text, err := render(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644) //nolint:gosec // for everybody to read
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "grafana:", err)
			os.Exit(1)
		}
	}
}

// render returns a dashboard as JSON.
func render(name string) ([]byte, error) {
	d, err := dashboards[name]().Build()
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", name, err)
	}
	enumerate(&d)
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return append(text, '\n'), nil
}

// enumerate gives panels their numbers, so that a link to one stays good for as
// long as the order does.
func enumerate(d *dashboard.Dashboard) {
	for i, p := range d.Panels {
		id := uint32(i + 1)
		if p.Panel != nil {
			p.Panel.Id = &id
		} else {
			p.RowPanel.Id = id
		}
	}
}
