#!/bin/bash
# rsyslog's RFC 5424 template turns postfix/smtpd, postfix/postscreen and
# postfix/submission/smtpd into one and the same program.
#
# Seen with rsyslog 8.2302.0-1+deb12u1 (Debian 12).
#
# Expected: RSYSLOG_SyslogProtocol23Format keeps what the older templates keep,
# since RFC 5424's APP-NAME may hold a slash.
# Seen: APP-NAME is filled from rsyslog's program name, which ends at the first
# "/", so that all of Postfix's daemons arrive as "postfix". The traditional and
# the ISO template send the whole tag. A receiver that wants to know which daemon
# spoke must not ask for RFC 5424, or must have a template with
# %syslogtag% of its own.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack bookworm "$work/root" rsyslog=8.2302.0-1+deb12u1
chroot "$work/root" /usr/sbin/rsyslogd -v | head -1
cat >"$work/root/rsyslog.conf" <<'CONF'
global(workDirectory="/tmp")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="/run/log")
action(type="omfile" file="/rfc5424" template="RSYSLOG_SyslogProtocol23Format")
action(type="omfile" file="/iso" template="RSYSLOG_FileFormat")
CONF
chroot "$work/root" /usr/sbin/rsyslogd -n -f /rsyslog.conf -i /run/pid &
ours $!
until_ok 10 test -S "$work/root/run/log"
for tag in postfix/smtpd postfix/postscreen postfix/submission/smtpd; do
  logger --socket "$work/root/run/log" --priority mail.info --id=123 --tag "$tag" "connect from unknown[198.51.100.9]"
done
until_ok 10 grep -q submission "$work/root/iso"
cat "$work/root/rfc5424" "$work/root/iso"
holds "three daemons are one program in RFC 5424" \
  [ "$(awk '{print $4}' "$work/root/rfc5424" | sort -u)" = postfix ]
holds "and three in the ISO form" \
  [ "$(awk '{print $3}' "$work/root/iso" | sort -u | wc -l)" = 3 ]
