#!/usr/bin/env bash
# kills_test.sh APP COUNT KIND..., inside with-slurm.sh: so many times each, at random moments of a job on all nodes, something is killed.
# What can go on goes on; what ends does so in time, and leaves no process, shared memory, socket or file on any node.
#
#   driver  SIGKILL to the driver: the step ends                 raylet  to the raylet of another node: the driver goes on
#   gcs     SIGKILL to the GCS: the step ends                    task    to another node's task: the driver goes on
#   home    SIGKILL to the driver's raylet: the step ends        slurmd  to one slurmd: all goes on
#   term    scancel -s TERM of the step: an orderly end          node    everything on the last node at once, with --no-kill
#   cancel  scancel of the job: an orderly end
#   step    scancel -s KILL of the step: all is killed at once
#   job     scancel -s KILL of the job: the same
#
# MOBULA_CHAOS_SEED chooses the moments and the victims.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 count=$2
shift 2
seed=${MOBULA_CHAOS_SEED:-42}
log=$FIXTURE_SHARED/log stop=$FIXTURE_SHARED/stop
nodes=$(sinfo -h -N -o %N | sort -u | wc -l)
last=n$nodes
# Before all have come together the others wait for the first so long.
start_s=30
export MOBULA_START_TIMEOUT=$start_s MOBULA_PREEMPT_GRACE_S=8 MOBULA_STATE_DIRECTORY=$FIXTURE_SHARED/state
bad() {
  fail "$kind, kill $round (MOBULA_CHAOS_SEED=$seed, ${when-at the start}): $*; the job said: $(grep -v '^round' "$log" | tail -n 15); $(rounds) rounds"
}

# pids NODE VARIABLE=VALUE: the processes there that were started with it.
pids() {
  local files
  files=$(grep -lzx -- "SLURMD_NODENAME=$1" /proc/[0-9]*/environ 2>/dev/null) || true
  if [[ -n $files ]]; then
    # shellcheck disable=SC2086 # Names without blanks.
    grep -lzx -- "$2" $files 2>/dev/null | sed 's|/proc/\(.*\)/environ|\1|' || true
  fi
}

# wait_until SECONDS COMMAND...
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    sleep 0.03
  done
}
has() { grep -q -- "$1" "$log"; }
ended() { ! kill -0 "$srun" 2>/dev/null; }
has_or_ended() { has "$1" || ended; }
all_idle() { (($(timeout 5 sinfo -h -N -t idle -o %N | sort -u | wc -l) == nodes)); }
rounds() { grep -c '^round' "$log" || true; }
rounds_are() { (($(rounds) >= $1)) || ended; }
some_time() { # MILLISECONDS: at most
  local ms=$((RANDOM % $1))
  sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

begin() { # srun's options...
  : >"$log"
  rm -f "$stop" "$stop.done"
  # Nothing of Slurm's own that would end the others for us.
  srun -Q -N"$nodes" -n"$nodes" --kill-on-bad-exit=0 --wait=0 "$@" \
    sh -c 'echo "started $SLURM_JOB_ID"; exec "$0" "$@"' "$app" "$nodes" "$stop" >"$log" 2>&1 &
  srun=$!
  wait_until 60 has '^started' || bad "it does not start"
  job=$(sed -n 's/^started //p' "$log" | head -1)
}

# victims NODE VARIABLE=VALUE: waits until there are some, and kills them.
found() { victims=$(pids "$@"); [[ -n $victims ]] || ended; }
kill_those() {
  wait_until 30 found "$@" || bad "no process has $2 on $1"
  for pid in $victims; do kill -KILL "$pid" 2>/dev/null || true; done
}

# must_end SECONDS: since the kill.
must_end() {
  wait_until "$1" ended || bad "the step did not end in $1 s"
  rc=0
  wait "$srun" || rc=$?
  ((rc != 0)) || bad "srun ended with 0"
}
must_go_on() {
  wait_until 30 rounds_are $(($(rounds) + 3)) || bad "the driver does not go on"
  if ended; then bad "the step ended"; fi
}
must_end_well() { # SECONDS
  touch "$stop"
  wait_until "$1" ended || bad "the step did not end in $1 s"
  rc=0
  wait "$srun" || rc=$?
  # Not by its output: srun drops the last of it when a task was killed.
  [[ -e $stop.done ]] || bad "the driver ended with $rc before it was done"
}
check() { FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || bad "something is left"; }
# All was killed at once and nobody could remove the session's directory: Slurm's epilog does, if it has our sweep; else the next start
# on the node has removed those before it.
check_but_sessions() {
  if [[ -n ${FIXTURE_EPILOG-} && $kind != node ]]; then
    check
    return
  fi
  FIXTURE_ALLOW_SESSIONS=yes check
  local node kept
  for node in "$FIXTURE_DIR"/node/*; do
    kept=$("$FIXTURE/nodesh" "${node##*/}" 'ls -d /tmp/mobula-*/s-* 2>/dev/null | wc -l')
    ((kept <= 1)) || bad "$kept sessions are left on ${node##*/}: the start after a kill removes none"
  done
}

slurmd_of() { pgrep -f -- "^slurmd -D -N $1 "; }

one() {
  local node pid limit
  case $kind in
    driver | gcs | home | term | cancel | step | job)
      begin
      # Some while it starts, which takes a few tenths of a second.
      if ((RANDOM % 3 == 0)); then some_time 250; else some_time 1200; fi
      when="before all was there"
      if has '^ready'; then when="in the middle" middle=$((middle + 1)); fi
      ;;
    *)
      if [[ $kind == node ]]; then begin --no-kill; else begin; fi
      wait_until 60 has_or_ended '^ready' && ! ended || bad "it does not start"
      when="in the middle" middle=$count
      some_time 300
      ;;
  esac
  case $kind in
    driver | gcs | home)
      case $kind in
        # Before it has a child nobody but itself could remove its directory.
        driver) wait_until 30 found n1 MOBULA_ROLE=gcs || bad "there is no GCS"; kill_those n1 SLURM_PROCID=0 ;;
        gcs) kill_those n1 MOBULA_ROLE=gcs ;;
        home) kill_those n1 MOBULA_ROLE=raylet ;;
      esac
      limit=5
      if [[ $when != "in the middle" ]]; then limit=$((start_s + 5)); fi
      must_end $limit
      check
      ;;
    term | cancel)
      # It complains when the step ends while it is at it.
      if [[ $kind == term ]]; then scancel --signal=TERM "$job.0" || true; else scancel "$job" || true; fi
      must_end 20
      check
      ;;
    step | job)
      if [[ $kind == step ]]; then scancel --signal=KILL "$job.0" || true; else scancel --signal=KILL --full "$job" || true; fi
      # A task that Slurm had not started yet is not killed, and waits for the first.
      limit=20 killed=$SECONDS
      if [[ $when != "in the middle" ]]; then limit=$((start_s + 10)); fi
      FIXTURE_ALLOW_STEPS=yes FIXTURE_ALLOW_SESSIONS=yes FIXTURE_PATIENCE=$limit "$FIXTURE/check-nodes.sh" ||
        bad "something runs $limit s after SIGKILL"
      # None of ours is left; the rest is Slurm's, which was seen to take more than 20 s now and then.
      ours=$((SECONDS - killed))
      must_end 60
      if ((SECONDS - killed > 5)); then echo "$kind, kill $round ($when): ours gone after $ours s, the step after $((SECONDS - killed)) s"; fi
      check_but_sessions
      ;;
    raylet | task)
      # One after another, but for the driver's own.
      for ((node = nodes; node > 1; --node)); do
        case $kind in
          raylet) kill_those "n$node" MOBULA_ROLE=raylet ;;
          task) kill_those "n$node" "SLURM_PROCID=$((node - 1))" ;;
        esac
        must_go_on
        some_time 300
      done
      round=$((round + nodes - 2))
      must_end_well 20
      check
      ;;
    slurmd)
      while :; do
        node=n$((RANDOM % nodes + 1))
        kill -KILL "$(slurmd_of "$node")"
        must_go_on
        "$FIXTURE/start-slurmd.sh" "$node"
        if ((round % 5 == 0 || round == count)); then break; fi
        round=$((round + 1))
        some_time 500
      done
      must_end_well 40
      check
      ;;
    node)
      "$FIXTURE/fail-node.sh" "$last"
      must_go_on
      # srun waits for the lost node's task until Slurm knows of the loss: if slurmd were back before, without end.
      must_end_well 60
      "$FIXTURE/start-slurmd.sh" "$last"
      check_but_sessions
      wait_until 60 all_idle || bad "the node does not come back"
      ;;
    *) fail "there is no kind $kind" ;;
  esac
}

for kind; do
  RANDOM=$(cksum <<<"$seed $kind" | cut -d' ' -f1)
  began=$SECONDS middle=0
  for ((round = 1; round <= count; ++round)); do one; done
  round=all when="at the end"
  wait_until 60 all_idle || bad "a node is not idle: $(sinfo -N)"
  echo "$kind: $count kills, $middle of them in the middle of the work, seed $seed, $((SECONDS - began)) s"
done
# Whoever comes next finds a clean machine.
kind=next round=1
begin
wait_until 60 has_or_ended '^ready' || bad "it does not start"
must_end_well 20
rm -rf "$MOBULA_STATE_DIRECTORY"
