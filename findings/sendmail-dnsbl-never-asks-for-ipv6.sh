#!/bin/bash
# sendmail's FEATURE(`dnsbl') and FEATURE(`enhdnsbl') ask nothing for a client
# with an IPv6 address.
#
# Seen with sendmail 8.17.1.9-2+deb12u2 (Debian 12); 8.18.1 does the same.
#
# Expected: a feature that both the list and the daemon speak IPv6 for looks the
# client up by its nibbles, as Postfix and Exim do, or says in cf/README that it
# does not.
# Seen: the generated rules match four parts between dots. An IPv6 client
# matches none of them, so no query is made and it passes as "not listed"; every
# IPv6 spam source is let in, and the log has nothing that could be missed.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

unpack bookworm "$work/root" sendmail-bin=8.17.1.9-2+deb12u2 sendmail-cf=8.17.1.9-2+deb12u2 m4 dash coreutils sed
mkdir -p "$work/root/etc/mail" "$work/root/var/spool/mqueue"
echo '127.0.0.1 localhost mx1.example.org' >"$work/root/etc/hosts"
for feature in dnsbl enhdnsbl; do
  printf '%s\n' "OSTYPE(\`linux')" "FEATURE(\`$feature', \`bl.example')" "MAILER(\`smtp')" |
    chroot "$work/root" /usr/bin/m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 - >"$work/root/etc/mail/$feature.cf"
done

# lookups FEATURE ADDRESS prints what check_relay looks up for a client.
lookups() {
  printf '%s\n' ".D{client_addr}$2" "Basic_check_relay mx.example \$| $2" |
    chroot "$work/root" /usr/libexec/sendmail/sendmail -bt -C "/etc/mail/$1.cf" -d38.20,60.5 2>&1 |
    sed -n 's/^map_lookup([a-z]*, \([^,]*\), %0.*/\1/p'
}

for feature in dnsbl enhdnsbl; do
  four=$(lookups "$feature" 198.51.100.7)
  six=$(lookups "$feature" IPv6:2001:db8:1:2:0:0:0:7)
  echo "$feature: for 198.51.100.7 it asks ${four:-nothing}, for 2001:db8:1:2::7 ${six:-nothing}"
  holds "$feature asks for the IPv4 client" [ "${four#*7.100.51.198.bl.example}" != "$four" ]
  holds "$feature asks nothing for the IPv6 client" [ -z "$six" ]
done
