#!/bin/bash
# What rsyslog writes about itself does not have the program name "rsyslogd".
#
# Seen with rsyslog 8.2302.0-1+deb12u1 (Debian 12).
#
# Expected: rsyslog's own messages, the ones that say that messages were lost
# among them, can be picked out by programname "rsyslogd", as the rules of many
# sites and the examples of monitoring tools do.
# Seen: the number of the error is part of the tag. Rate limiting of imuxsock is
# told by "rsyslogd-2177", a target that cannot be reached by "rsyslogd-2027". A
# filter for the plain name passes the start message and none of these; what
# works is the facility syslog, or startswith.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack bookworm "$work/root" rsyslog=8.2302.0-1+deb12u1
chroot "$work/root" /usr/sbin/rsyslogd -v | head -1
cat >"$work/root/rsyslog.conf" <<'CONF'
global(workDirectory="/tmp" processInternalMessages="on")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/log" RateLimit.Interval="2" RateLimit.Burst="10" UsePIDFromSystem="on")
template(name="names" type="string" string="%syslogfacility-text%|%programname%|%msg%\n")
if $syslogfacility-text == "syslog" then action(type="omfile" file="/own" template="names")
# Nobody listens on port 1 of loopback.
if $syslogfacility-text == "mail" then action(type="omfwd" target="127.0.0.1" port="1" protocol="tcp")
CONF
chroot "$work/root" /usr/sbin/rsyslogd -n -f /rsyslog.conf -i /run/pid >"$work/out" 2>&1 &
ours $!
until_ok 10 test -S "$work/root/run/log"
python3 - "$work/root/run/log" <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for i in range(100):
    s.send(b"<22>Nov 30 12:00:00 sm-mta[123]: line %d" % i)
time.sleep(4)
s.send(b"<22>Nov 30 12:00:00 sm-mta[123]: one more")
PY
until_ok 10 grep -qE 'drop|lost' "$work/root/own"
cut -c1-110 "$work/root/own"
holds "lost messages are told" grep -qE '(begin to drop|messages lost)' "$work/root/own"
holds "but not by a program named rsyslogd" bash -c '! grep -E "begin to drop|messages lost" "$1" | grep -q "|rsyslogd|"' - "$work/root/own"
holds "nor is a target that is away" bash -c 'grep -q "|rsyslogd-2[0-9]*|" "$1"' - "$work/root/own"
