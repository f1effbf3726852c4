#!/usr/bin/env bash
# time_limit_test.sh APP MOBULA, inside with-slurm.sh 4: a real time limit, and a real --signal before it.  Takes two minutes, since Slurm
# looks each 30 s and counts in whole minutes: run by `./dev chaos slurm`.
set -euo pipefail
fail() { echo "time_limit_test: $*" >&2; exit 1; }
app=$1 mobula=$2
export MOBULA_PREEMPT_GRACE_S=8 MOBULA_STATE_DIRECTORY=$FIXTURE_SHARED/state
cd "$FIXTURE_SHARED"
info() { scontrol -o show job "$1"; }
said() { [[ $(info "$1") == *$2* ]] || fail "job $1 is not $2: $(info "$1")"; }

# One is told by the limit itself, the other a while before.
srun -Q -N2 -n2 --time=1 --job-name=limit "$app" >limit.log 2>&1 &
step=$!
"$mobula" sbatch -N2 --time=1 --warning=20 "$app" >job.sbatch
warned=$(sbatch --parsable job.sbatch)
end=$((SECONDS + 60))
until grep -q '^ready$' limit.log && grep -q '^ready$' "preempt_app-$warned.out" 2>/dev/null; do
  ((SECONDS < end)) || fail "they do not start: $(<limit.log)"
  sleep 0.2
done
limit=$(squeue -h -n limit -o %i)
end=$((SECONDS + 150))
while kill -0 "$step" 2>/dev/null; do
  ((SECONDS < end)) || fail "the limit passes unnoticed: $(<limit.log)"
  sleep 0.5
done
rc=0
wait "$step" || rc=$?
((rc != 0)) || fail "srun ended with 0 at the limit"
for name in total actor-counter%2F{0,1,2}; do
  [[ -s $MOBULA_STATE_DIRECTORY/$limit/run-0/$name ]] || fail "$name was not saved at the limit: $(<limit.log)"
done
said "$limit" JobState=TIMEOUT
echo "at the limit: saved, the job is TIMEOUT"

until grep -q "job $warned is requeued" "preempt_app-$warned.out"; do
  ((SECONDS < end)) || fail "--signal passes unnoticed: $(<"preempt_app-$warned.out")"
  sleep 0.5
done
grep -q '^mobula: SIGUSR1: saving' "preempt_app-$warned.out" || fail "it was not SIGUSR1: $(<"preempt_app-$warned.out")"
said "$warned" Requeue=1
echo "before the limit: saved and requeued"
scancel "$warned"
rm -rf "$MOBULA_STATE_DIRECTORY"
