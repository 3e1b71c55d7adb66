#!/bin/sh
# Makes a mail host of the namespaces (mount, UTS, PID, network) that it is
# started in, and stays as their init. Usage: mailhost.sh DIR HOST TAG
set -eu
dir=$1 host=$2 tag=$3

hostname "$host"
umask 022
mkdir -p "$dir/dev" "$dir/mqueue" "$dir/rsyslog" "$dir/bin"
chmod 700 "$dir/mqueue"

# A /dev of its own, so that /dev/log is this host's.
mount -t tmpfs -o mode=755 tmpfs "$dir/dev"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$dir/dev/"; done
ln -s /proc/self/fd "$dir/dev/fd"
mount --bind "$dir/dev" /dev

for file in resolv.conf hosts nsswitch.conf; do mount --bind "$dir/etc/$file" "/etc/$file"; done
mount --bind "$dir/sasl" /usr/lib/sasl2
printf secret-alice | saslpasswd2 -p -c -f "$dir/etc/sasldb2" -u "$host.lab.example" alice
chown root:smmsp "$dir/etc/sasldb2"
chmod 640 "$dir/etc/sasldb2"

m4 "$dir/$host.mc" >"$dir/sendmail.cf"
for map in access virtusertable mailertable; do makemap -C "$dir/sendmail.cf" hash "$dir/etc/$map" <"$dir/etc/$map"; done
printf '#!/bin/sh\nexec cat >/dev/null\n' >"$dir/bin/discard"
chmod 755 "$dir/bin/discard"
: >"$dir/etc/helpfile"
: >"$dir/statistics"

rsyslogd -n -f "$dir/rsyslog.conf" -i "$dir/rsyslogd.pid" &
while [ ! -S /dev/log ]; do sleep 0.05; done
/usr/sbin/sendmail -C "$dir/sendmail.cf" -bi
/usr/sbin/sendmail -C "$dir/sendmail.cf" -L "$tag" -bD &
wait
