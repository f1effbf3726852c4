#!/usr/bin/env bash
# mpirun_test.sh APP, inside with-slurm.sh 1: mpirun of Open MPI on one host, outside any allocation.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1
command -v mpirun.openmpi >/dev/null || { echo "mpirun_test: skipped: no mpirun.openmpi here"; exit 77; }
host=$(hostname)

run 40 mpirun.openmpi --oversubscribe -np 4 "$app" nodes 5
[[ $rc == 5 && $out == *"driver $host"*"$host $host"* ]] || fail "four ranks on one host: exit code $rc: $out"
[[ $(grep -c "^$host $host" <<<"$out") == 1 ]] || fail "four ranks on one host are more than one node: $out"
run 40 mpirun.openmpi -np 1 "$app" nodes
[[ $rc == 0 && $out == *"driver $host"* ]] || fail "one rank: exit code $rc: $out"
run 40 mpirun.openmpi --oversubscribe -np 3 "$app" environment
expect 0 "variables of the launcher: " "workers see nothing of the launcher"
