package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"uppercut/deploy/loggen"
)

// ancestor is what a site ran each night before uppercut: the addresses that
// check_relay refused, and how often. It judges nothing.
const ancestor = `grep 'ruleset=check_relay' "$0" | awk '{print $10}' | sort | uniq -c | sort -rn`

// minFail2ban is the least of lines in which its filter finds something.
const minFail2ban = 200

// fail2banRegex fails unless it has matched something: its own exit code does
// not say so.
const fail2banRegex = `fail2ban-regex "$0" /etc/fail2ban/filter.d/sendmail-reject.conf | grep -Eq '^Lines: .* [1-9][0-9]* matched'`

// replay measures old logs: a file of many lines, read to the end.
func (b *bench) replay(name, title string, abuse float64) (*contest, error) {
	log := loggen.DefaultConfig()
	log.Lines = b.count(1_000_000)
	log.Abuse = abuse
	path := filepath.Join(b.dir, name+".log")
	if err := writeLog(path, log); err != nil {
		return nil, err
	}
	// fail2ban takes most of a minute for a million lines.
	short := log
	short.Lines = max(minFail2ban, b.count(20_000))
	shortPath := filepath.Join(b.dir, name+"-short.log")
	if err := writeLog(shortPath, short); err != nil {
		return nil, err
	}
	judging := func(uppercut string) func(context.Context) ([]measure, error) {
		return reading(log.Lines, uppercut, "replay", path)
	}
	return &contest{name: name, title: fmt.Sprintf(title, number(float64(log.Lines), 0)), with: judging, contestants: []contestant{
		{name: "uppercut replay", run: judging(b.uppercut)},
		{name: "grep \\| awk \\| sort \\| uniq", needs: "awk", run: reading(log.Lines, "bash", "-c", ancestor, path)},
		{name: "fail2ban-regex", needs: "fail2ban-regex", run: reading(short.Lines, "bash", "-c",
			fail2banRegex, shortPath)},
		{name: "grep -c", run: reading(log.Lines, "grep", "-c", "ruleset=check_relay", path)},
	}}, nil
}

// reading measures a program that reads so many lines.
func reading(lines int, argv ...string) func(context.Context) ([]measure, error) {
	return func(ctx context.Context) ([]measure, error) {
		u, err := timed(ctx, argv...)
		if err != nil {
			return nil, err
		}
		return []measure{
			{"lines/s", float64(lines) / u.wall.Seconds(), 0},
			{"seconds", u.wall.Seconds(), 2},
			{"CPU seconds", u.cpu.Seconds(), 2},
			{"peak MB", float64(u.peak) / 1e6, 0},
		}, nil
	}
}

// writeLog makes a log file as rsyslog writes it by default.
func writeLog(path string, c loggen.Config) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	var text []byte
	for l := range loggen.Lines(c) {
		text = loggen.Traditional.Append(text[:0], l)
		_, _ = out.Write(text) // Flush returns the error
	}
	return errors.Join(out.Flush(), f.Close())
}
