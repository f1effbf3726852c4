#!/usr/bin/env bash
# allocation_test.sh APP MOBULA, inside with-slurm.sh 3: `mobula start` in the shell of salloc, which runs on none of the nodes here, makes
# one cluster of the allocation; programs are submitted from that shell.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 mobula=$2
here_is_clean() {
  [[ -z $(find /tmp -maxdepth 1 -name 'mobula-*' ! -empty) ]] || fail "this host, which is no node, has $(find /tmp/mobula-*)"
}

run 120 salloc -Q -N3 bash -euc '
  "$1" start
  "$1" submit -- "$2" nodes
  code=0
  "$1" submit -- "$2" nodes 5 >/dev/null || code=$?
  echo "ended with $code"
  "$1" submit -- "$2" crash >/dev/null 2>&1 || echo "crashed with $?"
  "$1" submit -- "$2" say
  "$1" list nodes --json
  "$1" stop' - "$mobula" "$app"
[[ $rc == 0 && $out == *"runs on the 3 nodes of this allocation"*"driver n1"* && $out == *"ended with 5"* && $out == *"crashed with 139"* ]] ||
  fail "a cluster of an allocation: exit code $rc: $out"
[[ $(grep -cx 'n[123] n[123]' <<<"$out") == 3 && $(grep -c 'a word of a worker' <<<"$out") == 1 ]] || fail "its programs said: $out"
[[ $(grep -o '"state":"ALIVE"' <<<"$out" | wc -l) == 3 && $out == *"has ended"* ]] || fail "list and stop said: $out"
here_is_clean
FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "a cluster that was stopped leaves something"

# The end of the allocation is the end of its cluster, also while a program is on it.
run 120 salloc -Q -N2 bash -euc '
  "$1" start >/dev/null
  "$1" submit -- "$2" hold >"$3" 2>&1 &
  until grep -q holding "$3"; do sleep 0.05; done' - "$mobula" "$app" "$FIXTURE_SHARED/held"
[[ $rc == 0 ]] || fail "leaving an allocation: exit code $rc: $out"
end=$((SECONDS + 20))
until [[ -z $(squeue -h) ]]; do
  ((SECONDS < end)) || fail "the allocation does not end: $(squeue)"
  sleep 0.1
done
FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "a cluster whose allocation has ended leaves something"
rm "$FIXTURE_SHARED/held"

# What cannot be made is said.
run 60 salloc -Q -N2 env MOBULA_RENDEZVOUS=pmix SLURM_MPI_TYPE=none "$mobula" start
[[ $rc == 1 && $out == *"cannot find each other"* ]] || fail "a start that fails: exit code $rc: $out"
run 60 "$mobula" start
[[ $rc == 2 && $out == *"--head or --address"* ]] || fail "outside an allocation: exit code $rc: $out"
