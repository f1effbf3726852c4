#!/usr/bin/env bash
# gang_test.sh WHERE APP RANK: MPI programs inside a Mobula program.  WHERE: `local`, this machine alone with the real mpirun;
# `slurm`, inside with-slurm.sh 3.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
. "$here/launch_lib.sh"
where=$1 app=$2 rank=$3
command -v mpirun.openmpi >/dev/null || { echo "gang_test: skipped: no mpirun.openmpi here"; exit 77; }
scratch=$(mktemp -d "${FIXTURE_SHARED:-${MOBULA_TMPDIR:-/tmp}}/gang-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# app LAUNCHER WHAT: sets out (stdout alone) and rc.
app() {
  local start=() in
  if [[ $where == slurm ]]; then start=(srun -Q --mpi=none -N3 -n3 -c2); fi
  rc=0
  out=$(timeout -k 5 100 "${start[@]}" "$app" "$2" "$rank" "$scratch" "$1" 2>"$scratch.err") || rc=$?
  in=$(cat "$scratch.err")
  rm -f "$scratch.err"
  [[ $rc == 0 ]] || fail "$1 $2: exit code $rc: $out; $in"
}
hello() { # HOST-OF-RANK...
  local i=0
  echo output
  for host in "$@"; do echo "  rank $i of $# on $host, sum $(($# * ($# - 1) / 2))"; i=$((i + 1)); done
}
is() { [[ $out == "$1" ]] || fail "$2: $(diff <(echo "$1") <(echo "$out"))"; }
same_hosts() { sed 's/ on [^,]*,/ on x,/'; }

ends() { # LAUNCHER
  app "$1" ends
  # Open MPI 4.1 loses its own message about MPI_Abort now and then, and with it the rank; under srun ranks crash in it as well.
  out=$(same_hosts <<<"$out" | sed '/^abort/s/ code .*//')
  is "hello: 0
$(hello x x x)
stderr is apart: 1
exit: MpiError code 3 signal - rank 1
output is kept: 1
crash: MpiError code 137 signal 9 rank 1
abort: MpiError
no program: MpiError code - signal - rank -
no launcher: MpiError code - signal - rank -
no ranks: InvalidArgument" "$1: how programs end"
}
stops() {
  app "$1" stops
  is "cancelled: 1
cancelled: 1
cancelled: 1
its ranks have ended
those of a dead owner too" "$1: cancelled, and with its owner"
}
# A driver that is killed takes the ranks with it.
killed() { # LAUNCHER
  local start=() driver pids end=$((SECONDS + 60))
  if [[ $where == slurm ]]; then start=(srun -Q --mpi=none -N3 -n3 -c2); fi
  "${start[@]}" "$app" hold "$rank" "$scratch" "$1" >"$scratch/.said" 2>/dev/null &
  driver=$!
  until grep -q '^holding [0-9]* [0-9]*$' "$scratch/.said" 2>/dev/null; do
    ((SECONDS < end)) || fail "$1: the ranks do not start"
    sleep 0.05
  done
  read -r _ pids <"$scratch/.said"
  if [[ $where == slurm ]]; then scancel --signal=KILL --me; else kill -9 $driver; fi
  wait $driver || true
  for pid in $pids; do
    while [[ -r /proc/$pid/stat && $(cut -d' ' -f3 /proc/$pid/stat) != Z ]]; do
      ((SECONDS < end)) || fail "$1: rank $pid outlives its driver"
      sleep 0.05
    done
  done
  rm -f "$scratch"/* "$scratch/.said"
  # An mpirun that Slurm itself has killed by SIGKILL leaves its own files, as it does without us.
  if [[ $where == slurm ]]; then
    for i in 1 2 3; do "$FIXTURE/nodesh" "n$i" 'rm -rf /tmp/ompi.*'; done
  fi
}

together() {
  app mpirun.openmpi together
  is "by size, small: 0
by size, large: 0
by size, cancelled while it waited, the next: 0
by nodes, small: 0
by nodes, large: 0
by nodes, cancelled while it waited, the next: 0
by nodes in the other order, small: 0
by nodes in the other order, large: 0
by nodes in the other order, cancelled while it waited, the next: 0" "programs that want the same CPUs"
}

if [[ $where == local ]]; then
  ends mpirun.openmpi
  stops mpirun.openmpi
  killed mpirun.openmpi
  exit 0
fi
places() { # LAUNCHER
  app "$1" places
  is "nodes: 0
$(hello n2 n1 n2 n3)
beside actors: 0
$(hello n3 n1)
beside a group: 0" "$1: where ranks are"
}
# Of 120 starts of Open MPI 4.1 by plain `srun --mpi=pmix` three lost a rank to SIGSEGV, with no Mobula near: then once more.
once_more() { # FUNCTION LAUNCHER
  local said
  if [[ $2 == auto ]] && ! said=$("$1" "$2" 2>&1); then
    [[ $said == *"signal 11"* ]] || fail "$said"
    echo "gang_test: once more, since a rank of Open MPI crashed: $said"
    rm -f "$scratch"/*
  elif [[ $2 == auto ]]; then
    return
  fi
  "$1" "$2"
}
together
launchers=(mpirun.openmpi)
if [[ $(srun --mpi=list 2>&1) == *pmix* ]]; then launchers+=(auto); else echo "gang_test: no mpi/pmix here"; fi
for launcher in "${launchers[@]}"; do
  once_more places "$launcher"
  once_more ends "$launcher"
  stops "$launcher"
  killed "$launcher"
done
