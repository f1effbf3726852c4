#!/usr/bin/env bash
# preempt_test.sh APP: a driver of this machine that is told to end: what it saves, how it ends, and that the next run goes on from there.
set -euo pipefail
app=$1
export MOBULA_STATE_DIRECTORY=${MOBULA_TMPDIR:?run me by run_clean}/state
log=$MOBULA_TMPDIR/log
fail() { printf 'preempt_test: %s; the program said:\n%s\n' "$1" "$(<"$log")" >&2; exit 1; }
has() { grep -q -- "$1" "$log" || fail "no line has '$1'"; }
lacks() { if grep -q -- "$1" "$log"; then fail "a line has '$1'"; fi; }
saved() { [[ -s $MOBULA_STATE_DIRECTORY/preempt_app/$1 ]] || fail "$1 was not saved"; }
not_saved() { [[ ! -e $MOBULA_STATE_DIRECTORY/preempt_app/$1 ]] || fail "$1 was saved"; }

# run SIGNAL SECONDS MODE [NAME=VALUE...]: starts the program, sends the signal once it is ready; it must end by it in that time.
run() {
  local signal=$1 limit=$2 mode=$3 pid rc=0 began
  shift 3
  : >"$log"
  env "$@" "$app" "$mode" >"$log" 2>&1 &
  pid=$!
  for ((i = 0; i < 600; ++i)); do
    if grep -q '^ready$' "$log"; then break; fi
    sleep 0.1
  done
  has '^ready$'
  began=$SECONDS
  kill -s "$signal" "$pid"
  wait "$pid" || rc=$?
  ((rc == 128 + $(kill -l "$signal"))) || fail "it ended with $rc, not by SIG$signal"
  ((SECONDS - began <= limit)) || fail "it took $((SECONDS - began)) s to end"
}

run TERM 20 '' MOBULA_NODES=2
lacks resumed
has '^actors have 0$'
has '^callback 1$'
has 'saved the state of 3 actors'
saved run-0/total
saved 'run-0/actor-counter%2F2'

run USR1 20 ''
has '^resumed run 1 total 6$'
has '^actors have 6$'
saved run-1/total

# A signal that means nothing to us ends the program as ever; nothing is saved.
run USR2 20 ''
has '^resumed run 2 total 12$'
lacks '^callback'
not_saved run-2
run USR2 20 '' MOBULA_PREEMPT_SIGNALS=USR2,TERM
has '^callback 1$'
saved run-2/total

# What does not end in time is left out, and the rest is saved.
run TERM 20 hang MOBULA_PREEMPT_GRACE_S=4
has '^resumed run 3 total 18$'
has 'callbacks take too long'
has 'saved the state of 2 actors'
not_saved 'run-3/actor-counter%2F0'
saved 'run-3/actor-counter%2F1'

# The task that runs gets done; the one that waits is not started.
run TERM 20 tasks MOBULA_CPUS_PER_NODE=1
saved run-4/first-ended
not_saved run-4/second-began

# Where nothing is to save, the end comes at once, as before.
run TERM 8 plain
lacks saving

# So long before the end of the time.
rc=0
MOBULA_END_TIME=$(($(date +%s) + 8)) MOBULA_PREEMPT_WARNING_S=6 timeout 60 "$app" >"$log" 2>&1 || rc=$?
((rc == 143)) || fail "it ended with $rc at the warning"
has 'the cluster.s time ends in'
rm -rf "$MOBULA_STATE_DIRECTORY" "$log"
