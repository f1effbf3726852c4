#!/usr/bin/env bash
# spmd_test.sh APP, inside with-slurm.sh 3: init({.ranks = all}) returns in every rank, and all share one job.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1
ranks() { # COUNT NODES-OF-RANKS...
  local i=0 n=$#
  for host in "$@"; do echo "rank $i of $n on $host: twice $((2 * i))"; i=$((i + 1)); done
  echo "sum $((n * (n - 1) / 2))"
}

run 60 srun -Q -w 'n[1-3]' -N3 -n3 "$app"
expect 0 "$(ranks n1 n2 n3)" "one rank per node"
run 60 srun -Q -w 'n[1-2]' -N2 -n4 "$app" late
expect 0 "$(ranks n1 n1 n2 n2)" "two ranks per node, the last one late"
run 60 srun -Q --mpi=pmi2 -w 'n[1-2]' -N2 -n4 "$app"
expect 0 "$(ranks n1 n1 n2 n2)" "through PMI"
run 60 srun -Q -w 'n[1-2]' -N2 -n2 "$app" throw
[[ $rc == 134 && $out == *"rank 0 gives up"* ]] || fail "rank 0 throws: exit code $rc: $out"
if command -v mpirun.openmpi >/dev/null; then
  run 60 mpirun.openmpi --oversubscribe -np 3 "$app"
  expect 0 "$(ranks "$(hostname)" "$(hostname)" "$(hostname)")" "mpirun"
fi
