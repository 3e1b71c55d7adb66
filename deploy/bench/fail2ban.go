package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"uppercut/deploy/netns"
)

// fail2ban is a running fail2ban-server that reads a mail log, with Debian's
// filter for sendmail and its action for nftables.
type fail2ban struct {
	*process
	ns  *netns.Namespace
	log string // the mail log
}

// startFail2ban returns when the jail is up. It bans after so many matches.
func (b *bench) startFail2ban(ctx context.Context, dir string, retries int) (*fail2ban, error) {
	f := &fail2ban{log: filepath.Join(dir, "maillog")}
	// Debian's filters and actions; the rest is ours.
	for _, name := range []string{"filter.d", "action.d"} {
		if err := os.Symlink("/etc/fail2ban/"+name, filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"maillog": "",
		"fail2ban.conf": fmt.Sprintf(`[Definition]
loglevel = ERROR
logtarget = STDERR
syslogsocket = auto
socket = %[1]s/socket
pidfile = %[1]s/pid
dbfile = %[1]s/fail2ban.sqlite3
dbpurgeage = 1d
`, dir),
		"jail.conf": fmt.Sprintf(`[bench]
enabled = true
filter = sendmail-reject
backend = auto
usedns = no
logpath = %s
findtime = 10m
bantime = 1h
maxretry = %d
action = nftables[type=allports]
`, f.log, retries),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	f.ns = ns
	f.process, err = launch(ctx, ns, filepath.Join(dir, "log"), "fail2ban-server",
		"-c", dir, "-s", filepath.Join(dir, "socket"), "-p", filepath.Join(dir, "pid"), "-f", "start")
	if err != nil {
		ns.Close()
		return nil, err
	}
	if err := f.await(ctx, 50*time.Millisecond, func() (bool, error) {
		return ask(ctx, "fail2ban-client", "-s", filepath.Join(dir, "socket"), "status", "bench") == nil, nil
	}); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func ask(ctx context.Context, argv ...string) error {
	_, err := timed(ctx, argv...)
	return err
}

func (f *fail2ban) stop() {
	f.process.stop()
	f.ns.Close()
}
