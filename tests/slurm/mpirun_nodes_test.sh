#!/usr/bin/env bash
# mpirun_nodes_test.sh APP, inside with-slurm.sh 4: mpirun of Open MPI and mpiexec of MPICH over several nodes, inside an allocation and
# by ssh.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1
found=no

if command -v mpirun.openmpi >/dev/null; then
  found=yes
  run 60 salloc -Q -N4 -n4 mpirun.openmpi --bind-to none "$app" nodes 5
  [[ $rc == 5 && $(grep -cx 'n[1-4] n[1-4]' <<<"$out") == 4 ]] || fail "mpirun in an allocation: exit code $rc: $out"
  run 60 mpirun.openmpi --bind-to none --mca plm rsh --mca plm_rsh_agent "$FIXTURE/nodesh" \
    --mca oob_tcp_if_include 10.213.0.0/24 --host n1:2,n2:2,n3:2 -np 6 "$app" nodes
  expect 0 "$(nodes 1 2 3)" "mpirun by ssh"
fi

if command -v mpiexec.hydra >/dev/null; then
  found=yes
  bridge=$(ip -o -4 address | awk '$4 == "10.213.0.1/24" {print $2}')
  run 60 salloc -Q -N3 -n3 mpiexec.hydra "$app" nodes 5
  [[ $rc == 5 && $(grep -cx 'n[1-3] n[1-3]' <<<"$out") == 3 ]] || fail "mpiexec in an allocation: exit code $rc: $out"
  run 60 mpiexec.hydra -launcher ssh -launcher-exec "$FIXTURE/nodesh" -iface "$bridge" -hosts n1,n2,n3 -ppn 2 -np 6 "$app" nodes
  expect 0 "$(nodes 1 2 3)" "mpiexec by ssh"
  host=$(hostname)
  run 60 mpiexec.hydra -np 4 "$app" nodes
  expect 0 "driver $host"$'\n'"$host $host" "mpiexec on one host"
  MOBULA_START_TIMEOUT=5 run 40 mpiexec.hydra -launcher ssh -launcher-exec "$FIXTURE/nodesh" -iface "$bridge" -hosts n1,n2,n3 -np 3 \
    sh -c 'if [ "$PMI_RANK" = 2 ]; then exec sleep 14; fi; exec "$0" nodes' "$app"
  [[ $rc != 0 && $out == *"1 of 3 tasks are missing: rank2"* ]] || fail "a rank that does not come to mpiexec: exit code $rc: $out"
fi
[[ $found == yes ]] || { echo "mpirun_nodes_test: skipped: neither Open MPI nor MPICH here"; exit 77; }
