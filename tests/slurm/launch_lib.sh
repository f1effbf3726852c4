# For the tests of launchers.  Sourced.
fail() { echo "${0##*/}: $*" >&2; exit 1; }

# run SECONDS COMMAND...: sets `out` (with stderr) and `rc`.
run() {
  local seconds=$1
  shift
  rc=0
  out=$(timeout -k 5 "$seconds" "$@" 2>&1) || rc=$?
}

# expect CODE TEXT WHAT: the last run ended so and printed that (lines in any order, without the launcher's own: Open MPI warns of a
# setpgid that came after its agent's exec, which is harmless).
expect() {
  [[ $rc == "$1" ]] || fail "$3: exit code $rc, not $1: $out"
  [[ $(grep -Ev '^srun: |plm:rsh: Warning: setpgid' <<<"$out" | sort) == "$(sort <<<"$2")" ]] || fail "$3: printed: $out"
}
expect_in() {
  [[ $rc == "$1" ]] || fail "$3: exit code $rc, not $1: $out"
  [[ $out == *"$2"* ]] || fail "$3: \"$2\" is not in: $out"
}

# nodes N...: what `app nodes` prints on these nodes, the driver on the first.
nodes() {
  echo "driver n$1"
  local i
  for i in "$@"; do echo "n$i n$i"; done
}

export MOBULA_STORE_BYTES=64M MOBULA_START_TIMEOUT=30
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
