#!/usr/bin/env bash
# citizen_test.sh APP MOBULA BUSY, inside with-slurm.sh 3: what users and operators expect of a program in Slurm.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 mobula=$2 busy=$3

# The record of a job has the driver's truth: in the scheduler, and in the file that stands for the accounting here.
record() { grep "Name=$1 " "$FIXTURE_DIR/log/jobcomp.log"; }
for case in "nodes 0 0 COMPLETED 0:0" "nodes 7 7 FAILED 7:0" "crash - 139 FAILED 0:11|139:0" "throw - 134 FAILED 0:6|134:0"; do
  read -r what code expected state exits <<<"$case"
  name=truth-$expected
  run 60 srun -Q -N2 -n2 --job-name="$name" "$app" "$what" "$code"
  [[ $rc == "$expected" ]] || fail "a driver that ends with $expected: srun's code is $rc: $out"
  end=$((SECONDS + 30))
  until record "$name" >/dev/null; do
    ((SECONDS < end)) || fail "no record of $name: $(<"$FIXTURE_DIR/log/jobcomp.log")"
    sleep 0.1
  done
  job=$(record "$name" | sed 's/^JobId=\([0-9]*\).*/\1/')
  [[ $(record "$name") == *" JobState=$state "* ]] || fail "the record of $name: $(record "$name")"
  until shown=$(scontrol -o show job "$job") && [[ $shown != *" JobState=COMPLETING "* ]]; do
    ((SECONDS < end)) || fail "$name does not complete: $shown"
    sleep 0.1
  done
  [[ $shown == *" JobState=$state "* && $shown =~ " ExitCode="(${exits})" " ]] || fail "what Slurm says of $name: $shown"
  # The accounting that is here is the file of ended jobs, which sacct reads; slurmdbd would need a database server beside it.
  shown=$(sacct -c -n -P -j "$job" --format=state,exitcode)
  [[ $shown =~ ^"$state|"(${exits})$ ]] || fail "what sacct says of $name: $shown"
done

# A worker's line comes once, with its tag, on the driver's task alone, with and without -l.
for flag in "" -l; do
  run 60 srun -Q -N2 -n2 $flag "$app" say
  [[ $rc == 0 && $(grep -c 'a word of a worker' <<<"$out") == 1 ]] || fail "a worker's line is not there once: exit code $rc: $out"
  line=$(grep 'a word of a worker' <<<"$out")
  [[ $(grep -o '(pid=[0-9]*' <<<"$line" | wc -l) -le 1 ]] || fail "two tags: $line"
  if [[ $flag == -l ]]; then
    [[ $line == "0: "* && $out != *"1: "* ]] || fail "srun -l: $out"
  else
    [[ $line != "0: "* ]] || fail "without -l: $out"
  fi
done

# Told to end while it waits for a task that does not come, a node's first task removes what it has made.
: >"$FIXTURE_SHARED/log"
srun -Q -N2 -n4 --kill-on-bad-exit=0 --wait=0 sh -c 'if [ "$SLURM_PROCID" = 3 ]; then exec sleep 60; fi; exec "$0" nodes' "$app" \
  >"$FIXTURE_SHARED/log" 2>&1 &
srun=$!
has_session() { [[ -n $("$FIXTURE/nodesh" n2 'ls -d /tmp/mobula-*/s-* /tmp/mobula-*/meet-* 2>/dev/null') ]]; }
end=$((SECONDS + 30))
until has_session; do
  ((SECONDS < end)) || fail "no task of n2 begins: $(<"$FIXTURE_SHARED/log")"
  sleep 0.05
done
job=$(squeue -h -o %i)
scancel --signal=TERM "$job.0"
wait "$srun" || true
FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "an unfinished start leaves something: $(<"$FIXTURE_SHARED/log")"
rm "$FIXTURE_SHARED/log"

# Under mpirun the loss of a node ends the job, as MPI users expect.
if command -v mpirun.openmpi >/dev/null; then
  log=$FIXTURE_SHARED/log
  mpirun.openmpi --bind-to none --mca plm rsh --mca plm_rsh_agent "$FIXTURE/nodesh" --mca oob_tcp_if_include 10.213.0.0/24 \
    --host n1,n2,n3 -np 3 "$busy" 3 "$FIXTURE_SHARED/stop" >"$log" 2>&1 &
  mpirun=$!
  end=$((SECONDS + 60))
  until grep -q '^ready' "$log"; do
    ((SECONDS < end)) && kill -0 "$mpirun" 2>/dev/null || fail "mpirun does not start: $(<"$log")"
    sleep 0.05
  done
  began=$SECONDS
  "$FIXTURE/fail-node.sh" n3
  rc=0
  wait "$mpirun" || rc=$?
  ((rc != 0)) || fail "mpirun ended with 0 after the loss of a node: $(<"$log")"
  ((SECONDS - began <= 20)) || fail "mpirun needed $((SECONDS - began)) s to notice the loss of a node"
  if [[ -e $FIXTURE_SHARED/stop.done ]]; then fail "the program ran to its end without a node"; fi
  # A node that lost power comes back with an empty /tmp.
  "$FIXTURE/nodesh" n3 'rm -rf /tmp/mobula-* /tmp/ompi.*'
  "$FIXTURE/start-slurmd.sh" n3
  FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "mpirun that lost a node leaves something: $(<"$log")"
  rm "$log"
else
  echo "citizen_test: no mpirun.openmpi here: the loss of a node under mpirun is NOT TESTED"
fi
