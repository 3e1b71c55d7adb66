#!/bin/bash
# rsyslog (gtls) loses the next line after the server closed an idle TLS
# connection in order.
#
# Seen with rsyslog and rsyslog-gnutls 8.2302.0-1+deb12u1 (Debian 12) and a
# server of Go 1.26's crypto/tls.
#
# Expected: that this happens with plain TCP is known, since TCP cannot tell a
# half-closed connection from a closed one. TLS can: the server says
# close_notify, after which nothing more will be read.
# Seen: rsyslog does not look at it. The next line is written into the
# connection and is gone, minutes after the close as well as seconds; the one
# after it finds the connection broken, reconnects, and arrives. So each idle
# close costs a line, and a server cannot avoid it by being polite.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"
. "$(dirname "$0")/lib/rsyslog-tls.bash"

rsyslog_root
sink -tls 1.2 -close-after-first
rsyslog client
for i in 1 2 3 4 5 6; do
  echo "line $i" >>"$work/root/lines"
  sleep 3
done
rsyslog_end
sink_end
echo "received $received of 6 lines, over $connections connections that were each closed after their first line"
holds "every second line is lost" [ "$received" -le 4 ]
