#!/bin/bash
# rsyslog (gtls) whose client certificate is refused throws lines away over
# TLS 1.3, with action.resumeRetryCount="-1", and without an error for them.
#
# Seen with rsyslog and rsyslog-gnutls 8.2302.0-1+deb12u1 (Debian 12) and a
# server of Go 1.26's crypto/tls that asks for a certificate.
#
# Expected: a refused certificate is a failed connection; the action is
# suspended and its lines wait, as they do when nobody listens.
# Seen: in TLS 1.3 the client has finished its handshake before the server looks
# at the certificate. rsyslog takes the connection as good and writes lines into
# it; the alert that refuses it is never read. Each attempt takes lines along.
# Over TLS 1.2, where the refusal is part of the handshake, every line waits and
# arrives once the certificate is accepted.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"
. "$(dirname "$0")/lib/rsyslog-tls.bash"

lines=40
rsyslog_root

# refused VERSION: lines are logged one by one while the server refuses the
# certificate; then a server that asks for none takes the port over. Sets
# $received to what arrives there.
refused() {
  sink -tls "$1" -client-certificate
  rsyslog stranger
  local i
  for i in $(seq "$lines"); do
    echo "line $i" >>"$work/root/lines"
    sleep 0.25
  done
  sink_end
  echo "TLS $1: $received of $lines lines arrived at the server that refuses the certificate"
  sink -tls "$1" -listen "127.0.0.1:$port" -keep
  for i in 1 2 3 4 5 6; do
    echo "line after $i" >>"$work/root/lines"
    sleep 3
  done
  rsyslog_end
  sink_end
}

refused 1.3
new=$received
refused 1.2
old=$received
echo "of $lines lines and 6 more, these arrived when the certificate was no longer refused: TLS 1.3 $new, TLS 1.2 $old"
holds "over TLS 1.3 later lines arrive" [ "$new" -ge 1 ]
holds "but lines of before are gone" [ "$new" -lt "$lines" ]
holds "over TLS 1.2 every line waited" [ "$old" = $((lines + 6)) ]
