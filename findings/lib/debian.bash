# For findings that run Debian packages: sourced, not run.
#
# unpack SUITE DIR PACKAGE[=VERSION]...
#   puts the packages with all that they depend on into DIR, as files only: no
#   maintainer script runs, nothing of the machine changes. chroot(8) can run
#   what is in it. Ends with status 2 where a pinned version is served no more,
#   since that says nothing about the behaviour.
#
# The mirror is the one that this machine's own apt uses.

unpack() {
  local suite=$1 dir=$2 site apt
  shift 2
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$') || site=""
  [ -n "$site" ] || { echo "no Debian mirror in this machine's apt sources" >&2; exit 2; }
  site=${site%/}
  apt=$(mktemp -d "$work/apt.XXXXXX")
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/etc/preferences.d" "$dir"
  : >"$apt/status"
  {
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main"
    [ "$suite" = sid ] ||
      echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site-security $suite-security main"
  } >"$apt/sources"
  local options=(-qq -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
    -o Dir::Etc::sourcelist="$apt/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferencesparts="$apt/etc/preferences.d"
    -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Debug::NoLocking=1)
  apt-get "${options[@]}" update
  apt-get "${options[@]}" -y --download-only install "$@" >"$apt/log" 2>&1 || {
    tail -3 "$apt/log" >&2
    echo "cannot be fetched: $*" >&2
    exit 2
  }
  local deb
  for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$dir"; done
  rm -rf "$apt"
  for deb in bin sbin lib lib64; do # Debian 13's packages know /usr only
    [ -e "$dir/$deb" ] || ln -s "usr/$deb" "$dir/$deb"
  done
  mkdir -p "$dir/dev" "$dir/proc" "$dir/tmp" "$dir/run" "$dir/etc"
  chmod 1777 "$dir/tmp"
  mknod -m 666 "$dir/dev/null" c 1 3 2>/dev/null || true
  mknod -m 666 "$dir/dev/random" c 1 8 2>/dev/null || true
  mknod -m 666 "$dir/dev/urandom" c 1 9 2>/dev/null || true
  [ -e "$dir/etc/passwd" ] || echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
  [ -e "$dir/etc/group" ] || echo 'root:x:0:' >"$dir/etc/group"
}
