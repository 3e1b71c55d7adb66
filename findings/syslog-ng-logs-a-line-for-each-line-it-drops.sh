#!/bin/bash
# syslog-ng with a reliable disk buffer that is full writes one message of its
# own for every message that it drops; with any other buffer it writes none.
#
# Seen with syslog-ng-core 3.38.1-5+deb12u1 (Debian 12).
#
# Expected: the choice between reliable(yes) and reliable(no) is about what
# survives a crash. A full buffer drops, and the statistics count it.
# Seen: with reliable(yes) each dropped line becomes a line "Destination reliable
# queue full, dropping message" in the host's own log, so that a destination that
# is away doubles the log of a busy mail host just when it cannot be forwarded.
# With reliable(no) the same loss is not told at all outside the statistics.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack bookworm "$work/root" syslog-ng-core=3.38.1-5+deb12u1
lines=20000
seq -f '<22>Nov 30 12:00:00 sm-mta[123]: line %.0f of a log that is longer than the buffer of the destination' "$lines" >"$work/lines"

# told RELIABLE prints how many lines of its own syslog-ng wrote about a full
# buffer.
told() {
  rm -rf "$work/root/state" "$work/root/own" "$work/root/local" "$work/root/run/log"
  mkdir -p "$work/root/state" "$work/root/var/lib/syslog-ng"
  cat >"$work/root/syslog-ng.conf" <<CONF
@version: 3.38
options { stats-freq(0); };
source s_own { internal(); };
source s_mail { unix-dgram("/run/log"); };
destination d_own { file("/own"); };
destination d_local { file("/local"); };
destination d_away {
  # Nobody listens on port 1 of loopback.
  network("127.0.0.1" port(1) transport("tcp")
    disk-buffer(reliable($1) dir("/state") disk-buf-size(1048576)
      $([ "$1" = yes ] && echo 'mem-buf-size(163840)' || echo 'mem-buf-length(100)')));
};
log { source(s_own); destination(d_own); };
log { source(s_mail); destination(d_local); destination(d_away); };
CONF
  chroot "$work/root" /usr/sbin/syslog-ng --foreground --no-caps -f /syslog-ng.conf \
    -R /state/persist -p /state/pid -c /state/ctl >"$work/out" 2>&1 &
  local pid=$!
  ours "$pid"
  until_ok 15 test -S "$work/root/run/log"
  python3 - "$work/root/run/log" "$work/lines" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for line in open(sys.argv[2], "rb"):
    s.send(line.rstrip())
PY
  until_ok 30 all_local
  sleep 2
  kill "$pid"
  wait "$pid" 2>/dev/null || true
  grep -c 'queue full' "$work/root/own" || true
}
all_local() { [ "$(wc -l <"$work/root/local" 2>/dev/null || echo 0)" -ge "$lines" ]; }

reliable=$(told yes)
other=$(told no)
echo "of $lines lines: $reliable own lines about a full buffer with reliable(yes), $other with reliable(no)"
grep -m1 'queue full' "$work/root/own" || true
holds "reliable(yes) writes thousands" [ "$reliable" -gt 1000 ]
holds "reliable(no) writes none" [ "$other" = 0 ]
