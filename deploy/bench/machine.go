package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// printMachine says where and with what the figures were taken.
func (b *bench) printMachine(ctx context.Context, w io.Writer, rounds int) {
	fmt.Fprintf(w, "## Figures of %s\n\n", time.Now().UTC().Format("2006-01-02 15:04 MST"))
	fmt.Fprintf(w, "%d processors (%s), Linux %s, load %s; %s.\n", runtime.NumCPU(), processor(), kernelRelease(), load(), runtime.Version())
	for _, version := range [][]string{
		{b.uppercut, "version"}, {"rsyslogd", "-v"}, {"fail2ban-server", "--version"}, {"nft", "--version"},
	} {
		fmt.Fprintf(w, "%s.\n", firstLine(ctx, version))
	}
	fmt.Fprintf(w, "Medians of %d rounds at most; × uppercut: the figure in the first column over uppercut's of the same round.\n", rounds)
	if b.scale != 1 {
		fmt.Fprintf(w, "**Scaled by %v: these figures say that everything runs, no more.**\n", b.scale)
	}
}

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// load is the load of the last minute: above the number of processors, only
// ratios mean something.
func load() string {
	averages, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(averages), " ")
	return first
}

func firstLine(ctx context.Context, argv []string) string {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return argv[0] + ": not installed"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	line, _, _ = strings.Cut(line, " compiled with") // rsyslogd
	return line
}
