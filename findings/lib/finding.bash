# The frame of every finding: sourced, not run.
#
# Makes $work, a temporary directory that goes at the end together with every
# process whose number was given to `ours`. holds MESSAGE COMMAND... says what
# was seen, or ends the finding with status 1 because the behaviour changed.

set -euo pipefail
work=$(mktemp -d)
pids=()
ours() { pids+=("$1"); }
finish() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

holds() {
  local what=$1
  shift
  if "$@"; then
    echo "as found: $what"
  else
    echo "changed: not so any more: $what" >&2
    exit 1
  fi
}

# until_ok SECONDS COMMAND... waits until the command succeeds.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || { echo "timed out: $*" >&2; return 1; }
    sleep 0.1
  done
}
