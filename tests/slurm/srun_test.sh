#!/usr/bin/env bash
# srun_test.sh APP, inside with-slurm.sh 4: what srun starts is one cluster.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1

run 40 srun -Q -N4 -n4 "$app" nodes
expect 0 "$(nodes 1 2 3 4)" "one task per node"
run 40 srun -Q -w 'n[1-2]' -N2 -n4 "$app" nodes
expect 0 "$(nodes 1 2)" "two tasks per node"
run 40 srun -Q -w 'n[1-3]' -N3 -n5 "$app" nodes 7
expect 7 "$(nodes 1 2 3)" "uneven tasks, and the driver's exit code"
run 40 srun -Q -N4 -n8 -m cyclic "$app" nodes
expect 0 "$(nodes 1 2 3 4)" "ranks dealt in turn"
run 40 srun -Q -n1 "$app" cpus
expect_in 0 "cpus 2" "one task"

run 40 srun -Q -w 'n[1-2]' -N2 -n2 -l "$app" nodes
[[ $rc == 0 && $out == *"0: driver n1"* && $out != *"1: "* ]] || fail "srun -l: $out"

run 40 srun -Q -w 'n[1-2]' -N2 -n2 "$app" crash
[[ $rc == 139 ]] || fail "a driver that crashes: exit code $rc: $out"
run 40 srun -Q -w 'n[1-2]' -N2 -n2 "$app" throw
[[ $rc == 134 && $out == *"a task fails"* ]] || fail "an error that nobody catches: exit code $rc: $out"
run 40 srun -Q -w 'n[1-2]' -N2 -n2 "$app" environment
expect 0 "variables of the launcher: " "workers see nothing of the launcher"
