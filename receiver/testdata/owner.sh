#!/bin/sh
# Becomes the log daemon of a host of its own: owns /dev/log in a mount
# namespace. Usage: unshare --mount owner.sh DIR PROGRAM [ARGUMENT...]
set -eu
dir=$1
shift
mount -t tmpfs -o mode=755 tmpfs "$dir/dev"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$dir/dev/"; done
mount --bind "$dir/dev" /dev
exec "$@"
