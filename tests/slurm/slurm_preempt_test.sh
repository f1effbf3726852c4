#!/usr/bin/env bash
# slurm_preempt_test.sh APP MOBULA, inside with-slurm.sh 2: jobs that Slurm tells to end, and that come back.
set -euo pipefail
fail() { echo "slurm_preempt_test: $*" >&2; exit 1; }
app=$1 mobula=$2
export MOBULA_PREEMPT_GRACE_S=4 MOBULA_STATE_DIRECTORY=$FIXTURE_SHARED/state
cd "$FIXTURE_SHARED"

# wait_for SECONDS FILE TEXT
wait_for() {
  local end=$((SECONDS + $1))
  until grep -q -- "$3" "$2" 2>/dev/null; do
    ((SECONDS < end)) || fail "'$3' is not in $2 after $1 s: $(cat "$2" 2>&1)"
    sleep 0.05
  done
}
state_of() { scontrol -o show job "$1" | sed 's/.*JobState=\([A-Z_]*\).*/\1/'; }
wait_state() { # JOB STATE
  local end=$((SECONDS + 30))
  until [[ $(state_of "$1") == "$2" ]]; do
    ((SECONDS < end)) || fail "job $1 is $(state_of "$1"), not $2"
    sleep 0.1
  done
}

# A signal to the step saves what is on all nodes, and all ends; the job's state is what Slurm says of it.  A library with threads of
# its own (PMIx) in the tasks changes nothing.
kinds=(none)
if [[ $(srun --mpi=list 2>&1) == *pmix* ]]; then kinds+=(pmix); else echo "slurm_preempt_test: no mpi/pmix here"; fi
for signal in TERM USR1; do
  for mpi in "${kinds[@]}"; do
    log=$signal-$mpi.log
    srun -Q -N2 -n2 --mpi="$mpi" --kill-on-bad-exit=0 --wait=0 --job-name="$signal-$mpi" "$app" >"$log" 2>&1 &
    step=$!
    wait_for 60 "$log" '^ready$'
    grep -q '^hosts.* n1' "$log" && grep -q '^hosts.* n2' "$log" || fail "not both nodes have an actor: $(<"$log")"
    job=$(squeue -h -n "$signal-$mpi" -o %i)
    began=$SECONDS
    scancel --signal="$signal" "$job.0"
    rc=0
    wait "$step" || rc=$?
    ((rc == 128 + $(kill -l "$signal"))) || fail "srun ended with $rc after SIG$signal: $(<"$log")"
    ((SECONDS - began <= 20)) || fail "the end took $((SECONDS - began)) s"
    # Not by its output: srun drops the last of it when a task ends by SIGTERM.
    for name in total actor-counter%2F{0,1,2}; do
      [[ -s $MOBULA_STATE_DIRECTORY/$job/run-0/$name ]] || fail "$name was not saved: $(find "$MOBULA_STATE_DIRECTORY")"
    done
    wait_state "$job" FAILED
    FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "something is left after SIG$signal"
  done
done

# The script that `mobula sbatch` prints, as Slurm takes it: told that its time is over, the job saves, requeues itself, and goes on.
"$mobula" sbatch -N2 --time=10 --warning=60 "$app" >job.sbatch
sbatch --test-only job.sbatch 2>test-only.log || fail "Slurm does not take the script: $(<test-only.log)"
job=$(sbatch --parsable job.sbatch)
out=preempt_app-$job.out
wait_for 60 "$out" '^ready$'
# As --signal would, which Slurm looks at each 30 s.
scancel --signal=USR1 "$job"
wait_for 30 "$out" "job $job is requeued"
wait_state "$job" PENDING
# Slurm holds a requeued job for two minutes; a slurmd refuses one that begins in the second in which it was ended.
sleep 2
end=$((SECONDS + 60))
until [[ $(state_of "$job") == RUNNING && $(scontrol -o show job "$job") == *Restarts=1* ]]; do
  ((SECONDS < end)) && [[ $(state_of "$job") != FAILED ]] || fail "the job did not come back: $(scontrol -o show job "$job") $(<"$out")"
  scontrol update jobid="$job" StartTime=now 2>/dev/null || true
  sleep 0.2
done
wait_for 60 "$out" '^resumed run 1 total 6$'
wait_for 60 "$out" '^actors have 6$'

# Cancelled, it saves and stays away, though it may be requeued.
scancel "$job"
wait_state "$job" CANCELLED
[[ -s $MOBULA_STATE_DIRECTORY/$job/run-1/total ]] || fail "cancelled, it saved nothing: $(find "$MOBULA_STATE_DIRECTORY")"

# A signal to the batch shell alone reaches the tasks through it.
job=$(sbatch --parsable --no-requeue job.sbatch)
out=preempt_app-$job.out
wait_for 60 "$out" '^ready$'
scancel --batch --signal=USR1 "$job"
wait_for 30 "$out" 'saved the state of 3 actors'
wait_for 30 "$out" "job $job is not requeued"
wait_state "$job" FAILED
rm -rf "$MOBULA_STATE_DIRECTORY"
