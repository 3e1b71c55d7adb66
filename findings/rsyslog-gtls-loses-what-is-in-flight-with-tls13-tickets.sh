#!/bin/bash
# rsyslog (gtls) that ends after a burst loses lines over TLS 1.3, because the
# server sent session tickets.
#
# Seen with rsyslog and rsyslog-gnutls 8.2302.0-1+deb12u1 (Debian 12) and a
# server of Go 1.26's crypto/tls, which sends tickets by default.
#
# Expected: a client that shuts down in order delivers what it has written;
# session tickets are a matter of the next handshake.
# Seen: rsyslog never reads from the connection, so the tickets lie unread in
# its socket when it closes; Linux answers a close with unread data by a reset,
# and the reset discards what the server has not read yet. The last part of
# every burst is gone. With tickets off, or with TLS 1.2, nothing is lost.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"
. "$(dirname "$0")/lib/rsyslog-tls.bash"

lines=30000
rsyslog_root

burst -tls 1.3
with=$received
burst -tls 1.3 -tickets=false
without=$received
burst -tls 1.2
old=$received
echo "received of $lines: TLS 1.3 with tickets $with, without $without, TLS 1.2 $old"
holds "with tickets the end of the burst is lost" [ "$with" -lt "$lines" ]
holds "without tickets nothing is lost" [ "$without" = "$lines" ]
holds "with TLS 1.2 nothing is lost" [ "$old" = "$lines" ]
