#!/usr/bin/env bash
# time_test.sh local|slurm APP: what a program knows of the end of its time, on this machine alone and inside with-slurm.sh.
set -euo pipefail
where=$1 app=$2
fail() { printf 'time_test: %s; the program said:\n%s\n' "$1" "$said" >&2; exit 1; }
refused='long: the task was not started: it takes 7200.0 s by its estimate, and the cluster ends in '

# expect LEFT_MIN LEFT_MAX: what is left, on driver and worker, and which tasks ran.
expect() {
  local left worker
  left=$(sed -n 's/^left: \([0-9]*\).*/\1/p' <<<"$said")
  worker=$(sed -n 's/^left: .* worker: \([0-9]*\)/\1/p' <<<"$said")
  ((left >= $1 && left <= $2 && worker >= $1 && worker <= $2)) || fail "not $1 to $2 seconds are left"
  [[ $said == *$'\nshort: 42\n'* && $said == *$'\nnone: 42\n'* ]] || fail "a task that fits did not run"
  [[ $said == *"$refused"* ]] || fail "a task that does not fit was not refused"
}

if [[ $where == local ]]; then
  said=$(timeout 60 "$app" unlimited)
  [[ $said == $'left: -1\nlong: 42' ]] || fail "without an end all tasks run"
  said=$(MOBULA_END_TIME=$(($(date +%s) + 600)) timeout 60 "$app")
  expect 500 600
  exit 0
fi

said=$(timeout 60 srun -N1 --time=10 "$app")
expect 500 600
# Newer versions of Slurm say it in the environment, and nobody has to be asked for the first answer.
said=$(MOBULA_END_TIME_REFRESH_S=3600 timeout 60 srun -N1 --time=10 env SLURM_JOB_END_TIME=$(($(date +%s) + 300)) "$app")
expect 200 300
said=$(timeout 60 srun -N1 "$app" unlimited)
[[ $said == $'left: -1\nlong: 42' ]] || fail "a job without a limit runs all"
# A limit that is moved is noticed.
log=$FIXTURE_SHARED/moved
MOBULA_END_TIME_REFRESH_S=0.2 timeout 100 srun -N1 --time=10 --job-name=moved "$app" moved 1000 >"$log" &
for ((i = 0; i < 600; ++i)); do
  if grep -q left "$log"; then break; fi
  sleep 0.1
done
scontrol update "jobid=$(squeue -h -n moved -o %i)" TimeLimit=60
wait $! || { said=$(<"$log"); fail "a limit that was moved was not noticed"; }
