#!/bin/bash
# Dovecot with two password databases logs "unknown user" for a user of the
# second one who logs in without a mistake.
#
# Seen with dovecot-core and dovecot-imapd 1:2.3.19.1+dfsg1-2.1+deb12u7 (Debian
# 12), auth_verbose=yes; 2.4 does it too, with the database's own name.
#
# Expected: auth_verbose logs why a login failed; one that succeeds is told by
# the login process alone.
# Seen: each database that does not know the user is logged at info with the
# user's name and the client's address, as a failure looks. The line comes before
# "Login:" and nothing joins the two but the session id. Whoever counts these
# lines against the address, as filters for auth_verbose do, blocks the users of
# the second database one by one.
#
# Ends with status 1 and "changed: ..." if any of this is so no more.
. "$(dirname "$0")/lib/finding.bash"
. "$(dirname "$0")/lib/debian.bash"

version=1:2.3.19.1+dfsg1-2.1+deb12u7
unpack bookworm "$work/root" dovecot-core="$version" dovecot-imapd="$version"
root=$work/root
cat >>"$root/etc/passwd" <<'PASSWD'
dovecot:x:990:990::/:/bin/false
dovenull:x:991:991::/:/bin/false
vmail:x:1000:1000::/mail:/bin/false
PASSWD
printf 'dovecot:x:990:\ndovenull:x:991:\nvmail:x:1000:\n' >>"$root/etc/group"
mkdir -p "$root/mail" "$root/run/dovecot"
chown 1000:1000 "$root/mail"
echo 'alice:{PLAIN}first:1000:1000::/mail/alice' >"$root/first"
echo 'bob:{PLAIN}second:1000:1000::/mail/bob' >"$root/second"
cat >"$root/dovecot.conf" <<'CONF'
protocols = imap
listen = 127.0.0.1
log_path = /log
auth_verbose = yes
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
default_internal_user = dovecot
default_login_user = dovenull
service imap-login {
  inet_listener imap {
    port = 11143
  }
  chroot =
}
service anvil {
  chroot =
}
passdb {
  driver = passwd-file
  args = /first
}
passdb {
  driver = passwd-file
  args = /second
}
userdb {
  driver = passwd-file
  args = /second
}
CONF
chroot "$root" /usr/sbin/dovecot --version
chroot "$root" /usr/sbin/dovecot -F -c /dovecot.conf >"$work/out" 2>&1 &
ours $!
dial() { exec 3<>/dev/tcp/127.0.0.1/11143; }
until_ok 20 dial 2>/dev/null
read -r -t 10 <&3
printf 'a login bob second\r\n' >&3
until_ok 20 grep -q Login: "$root/log"
grep -E 'bob' "$root/log"
holds "the login succeeded" grep -qE 'imap-login: Info: Login: user=<bob>' "$root/log"
holds "and its user is called unknown" grep -qE 'auth: Info: passwd-file\(bob,127\.0\.0\.1,.*unknown user' "$root/log"
