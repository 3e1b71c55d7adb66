# rsyslog as a TLS client of lib/tlssink: sourced, not run.

# rsyslog_root unpacks the pinned rsyslog into $work/root and builds the sink.
rsyslog_root() {
  unpack bookworm "$work/root" rsyslog=8.2302.0-1+deb12u1 rsyslog-gnutls=8.2302.0-1+deb12u1
  (cd "$(dirname "$0")/lib/tlssink" && GO111MODULE=off go build -o "$work/sink" .)
  chroot "$work/root" /usr/sbin/rsyslogd -v | head -1
}

# sink ARGUMENT... starts the server and sets $port; sink_end prints its counts.
sink() {
  mkdir -p "$work/root/tls"
  rm -f "$work/sink.out"
  mkfifo "$work/stdin"
  "$work/sink" -dir "$work/root/tls" "$@" <"$work/stdin" >"$work/sink.out" 2>"$work/sink.err" &
  ours $!
  sink_pid=$!
  exec 8>"$work/stdin"
  until_ok 10 test -s "$work/sink.out"
  port=$(head -1 "$work/sink.out")
}

# sink_end ends the server and sets $received and $connections.
sink_end() {
  exec 8>&-
  wait "$sink_pid"
  rm "$work/stdin"
  read -r received connections < <(sed -n 's/^lines=\([0-9]*\) connections=\([0-9]*\).*/\1 \2/p' "$work/sink.out")
}

# rsyslog CERTIFICATE starts rsyslog, which forwards each line that is put into
# $work/root/lines with the client certificate of that name.
rsyslog() {
  rm -rf "$work/root/spool"
  mkdir "$work/root/spool"
  : >"$work/root/lines"
  cat >"$work/root/rsyslog.conf" <<CONF
global(workDirectory="/spool" defaultNetstreamDriverCAFile="/tls/ca.pem"
  defaultNetstreamDriverCertFile="/tls/$1.pem" defaultNetstreamDriverKeyFile="/tls/$1.key")
module(load="imfile" mode="polling" pollingInterval="1")
ruleset(name="forward" queue.type="Direct") {
  action(type="omfwd" target="127.0.0.1" port="$port" protocol="tcp"
    streamDriver="gtls" streamDriverMode="1" streamDriverAuthMode="x509/name" streamDriverPermittedPeers="sink.example.org"
    action.resumeRetryCount="-1" action.resumeInterval="1")
}
input(type="imfile" file="/lines" tag="sm-mta:" ruleset="forward")
CONF
  chroot "$work/root" /usr/sbin/rsyslogd -n -f /rsyslog.conf -i /spool/pid >"$work/rsyslog.out" 2>&1 8>&- &
  rsyslog_pid=$!
  ours "$rsyslog_pid"
  until_ok 10 test -s "$work/root/spool/pid"
}

# rsyslog_end stops rsyslog in order.
rsyslog_end() {
  kill "$rsyslog_pid"
  wait "$rsyslog_pid" || true
}

# burst SINK-ARGUMENT... sends $lines lines to a server that reads slowly, ends
# rsyslog in order once it has written all, and sets $received.
burst() {
  sink -pause 100ms "$@"
  rsyslog client
  seq -f '%09.0f some text of the length that a line of a mail log has, more or less' "$lines" >>"$work/root/lines"
  until_ok 120 at_end
  sleep 0.5
  rsyslog_end
  sink_end
}

# at_end reports whether rsyslog has read the whole file.
at_end() {
  local size offset
  size=$(stat -c %s "$work/root/lines")
  offset=$(cat /proc/"$rsyslog_pid"/fdinfo/* 2>/dev/null | awk '/^pos:/ && $2 > p {p = $2} END {print p + 0}')
  [ "$offset" -ge "$size" ]
}
