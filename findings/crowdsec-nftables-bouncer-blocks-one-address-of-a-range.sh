#!/bin/bash
# CrowdSec's firewall bouncer in nftables mode enforces of a Range only the first
# address, and a decision of 0s for ever.
#
# Seen with crowdsec-firewall-bouncer 0.0.25-5+b11 (Debian 13), fed by a server that
# speaks the local API's stream.
#
# Expected: 198.51.100.0/24 with scope Range is an interval of the set, as it is
# with ipset and pf; a decision whose duration is 0s has run out.
# Seen: the set has no interval flag; the network becomes the element
# 198.51.100.0, and 2001:db8:1:2::/64 the element 2001:db8:1:2::. 0s becomes an
# element without a timeout. Neither leaves a word in the bouncer's log.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack trixie "$work/root" crowdsec-firewall-bouncer=0.0.25-5+b11 nftables
cat >"$work/api.py" <<'PY'
import http.server, json, sys
def ban(i, scope, value, duration):
    return {"id": i, "origin": "cscli", "scenario": "test", "scope": scope, "type": "ban",
            "value": value, "duration": duration, "uuid": str(i)}
class API(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        new = []
        if "startup=true" in self.path:
            new = [ban(1, "Ip", "192.0.2.7", "4h"), ban(2, "Range", "198.51.100.0/24", "4h"),
                   ban(3, "Range", "2001:db8:1:2::/64", "4h"), ban(4, "Ip", "192.0.2.8", "0s")]
        body = json.dumps({"new": new, "deleted": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_HEAD = do_GET
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", 8080), API).serve_forever()
PY
cat >"$work/root/bouncer.yaml" <<'CONF'
mode: nftables
update_frequency: 1s
log_mode: stdout
log_level: info
api_url: http://127.0.0.1:8080/
api_key: abc
deny_action: DROP
deny_log: false
blacklists_ipv4: crowdsec-blacklists
blacklists_ipv6: crowdsec6-blacklists
nftables:
  ipv4: {enabled: true, set-only: false, table: crowdsec, chain: crowdsec-chain, priority: -10}
  ipv6: {enabled: true, set-only: false, table: crowdsec6, chain: crowdsec6-chain, priority: -10}
nftables_hooks: [input, forward]
CONF
cat >"$work/inside.sh" <<'INSIDE'
ip link set lo up
python3 "$1/api.py" & api=$!
sleep 1
chroot "$1/root" /usr/bin/crowdsec-firewall-bouncer -c /bouncer.yaml >"$1/log" 2>&1 & bouncer=$!
for i in $(seq 150); do
  chroot "$1/root" /usr/sbin/nft list ruleset >"$1/ruleset" 2>/dev/null
  grep -q 2001:db8:1:2 "$1/ruleset" && break
  sleep 0.1
done
kill $bouncer $api
INSIDE
unshare --net -- bash "$work/inside.sh" "$work" >/dev/null 2>&1 || true
grep -vE '^\s*$' "$work/ruleset" | head -60
tail -5 "$work/log"
holds "the single address is there" grep -q '192.0.2.7 timeout' "$work/ruleset"
holds "of the IPv4 network there is one address" grep -qE '198\.51\.100\.0( timeout|,| )' "$work/ruleset"
holds "and no interval" bash -c '! grep -qE "interval|198\.51\.100\.0(/24|-)" "$1"' - "$work/ruleset"
holds "the IPv6 network is one address as well" bash -c 'grep -q "2001:db8:1:2:: " "$1"' - "$work/ruleset"
holds "0s has no timeout" bash -c 'grep -qE "192\.0\.2\.8( *[,}]|$)" "$1"' - "$work/ruleset"
