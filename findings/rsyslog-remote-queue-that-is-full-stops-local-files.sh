#!/bin/bash
# An rsyslog action for a remote host with a queue of its own stops the local
# files once the remote host is away for long enough.
#
# Seen with rsyslog 8.2302.0-1+deb12u1 (Debian 12).
#
# Expected: a queue of its own is what keeps an action from holding up others;
# when it is full its lines are dropped.
# Seen: a full queue makes the rule set wait for each message for
# queue.timeoutEnqueue, 2 s by default, before it is dropped. Everything behind
# that action gets one line in two seconds, mail.log and auth.log too; once the
# main queue is full syslog(3) itself waits, in every program of the host.
# queue.timeoutEnqueue="0" is what one expected.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack bookworm "$work/root" rsyslog=8.2302.0-1+deb12u1
chroot "$work/root" /usr/sbin/rsyslogd -v | head -1
lines=5000
seq -f '<22>Nov 30 12:00:00 sm-mta[123]: line %.0f' "$lines" >"$work/lines"

# local_lines SETTING prints how many lines a local file behind the remote
# action has 6 s after 5,000 were logged, with a queue of 1,000.
local_lines() {
  rm -f "$work/root/mail.log" "$work/root/run/log" "$work/root/run/pid" "$work/root/tmp"/*
  cat >"$work/root/rsyslog.conf" <<CONF
global(workDirectory="/tmp")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/log" RateLimit.Interval="0")
# Nobody listens on port 1 of loopback.
action(type="omfwd" target="127.0.0.1" port="1" protocol="tcp"
  queue.type="LinkedList" queue.size="1000" action.resumeRetryCount="-1" $1)
action(type="omfile" file="/mail.log")
CONF
  chroot "$work/root" /usr/sbin/rsyslogd -n -f /rsyslog.conf -i /run/pid >/dev/null 2>&1 &
  local pid=$!
  ours "$pid"
  until_ok 10 test -S "$work/root/run/log"
  python3 - "$work/root/run/log" "$work/lines" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for line in open(sys.argv[2], "rb"):
    s.send(line.rstrip())
PY
  sleep 6
  wc -l <"$work/root/mail.log"
  kill -9 "$pid"
}

default=$(local_lines "")
zero=$(local_lines 'queue.timeoutEnqueue="0"')
echo "in the local file, of $lines lines: $default by default, $zero with queue.timeoutEnqueue=0"
holds "by default the local file stands still" [ "$default" -lt 1100 ]
holds "with 0 it has every line" [ "$zero" = "$lines" ]
