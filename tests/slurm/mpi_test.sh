#!/usr/bin/env bash
# mpi_test.sh APP HALO, inside with-slurm.sh 2: programs that speak MPI beside Mobula.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 halo=$2
agree() { # RANKS: what they print
  local i
  for ((i = 0; i < $1; i++)); do echo "rank $i of $1 agrees, squares $2"; done
}

run 60 mpirun.openmpi --oversubscribe --bind-to none -np 4 "$app"
expect 0 "$(agree 4 14)" "mpirun: init, then MPI_Init"
run 60 mpirun.openmpi --oversubscribe --bind-to none -np 2 "$app" wrong
[[ $rc == 0 && $out == *"before mobula::init"* ]] || fail "MPI_Init first: exit code $rc: $out"
run 60 mpirun.openmpi --oversubscribe --bind-to none -np 2 "$halo"
[[ $rc == 0 && $out == *"step 400: heat 1000,"* ]] || fail "the example: exit code $rc: $out"
run 60 salloc -Q -w 'n[1-2]' -N2 -n4 mpirun.openmpi --bind-to none "$app"
expect 0 "$(agree 4 14)" "mpirun over two nodes"
if [[ $(srun --mpi=list 2>&1) == *pmix* ]]; then
  run 60 srun -Q --mpi=pmix -w 'n[1-2]' -N2 -n4 "$app"
  expect 0 "$(agree 4 14)" "srun --mpi=pmix"
  run 60 srun -Q --mpi=pmix -w 'n[1-2]' -N2 -n2 "$halo"
  [[ $rc == 0 && $out == *"step 400: heat 1000,"* ]] || fail "the example under srun: exit code $rc: $out"
fi
run 60 srun -Q --mpi=none -w 'n[1-2]' -N2 -n2 "$app"
[[ $rc != 0 && $out == *"--mpi="* ]] || fail "MPI without a PMI: exit code $rc: $out"
