#!/usr/bin/env bash
# cgroup_test.sh APP: workers stay in the control group and on the CPUs that Slurm gave to the step, and end with it.  Starts a Slurm of
# its own, since Slurm's groups are seen by the whole machine and must be removed after its end.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cannot() { echo "cgroup_test: skipped: $*"; exit 77; }

if [[ ${1-} != --inside ]]; then
  ((EUID == 0)) || cannot "only root can give Slurm control groups"
  [[ -d /sys/fs/cgroup/freezer && -w /sys/fs/cgroup/freezer ]] || cannot "no freezer of cgroup v1 here"
  # Two Slurms would share the groups' names.
  exec {lock}>"/tmp/mobula-cgroup-test.lock"
  flock -w 60 "$lock" || cannot "another run has the groups"
  rc=0
  FIXTURE_PROCTRACK=cgroup FIXTURE_CGROUP=cgroup/v1 FIXTURE_TASK=affinity FIXTURE_CPUS=2 \
    "$here/with-slurm.sh" 2 "${BASH_SOURCE[0]}" --inside "$@" {lock}>&- || rc=$?
  find /sys/fs/cgroup/freezer/slurm_n[12] -depth -type d -exec rmdir {} \; 2>/dev/null || true
  rm -f /tmp/mobula-cgroup-test.lock
  exit "$rc"
fi
shift
app=$1
. "$here/launch_lib.sh"

# Each node's worker is where its task is.
run 60 srun -Q -N2 -n2 -c1 --cpu-bind=cores sh -c 'echo "task $(hostname) $("$0" seat)"; exec "$0" where' "$app"
[[ $rc == 0 ]] || fail "exit code $rc: $out"
for node in n1 n2; do
  task=$(sed -n "s/^task $node //p" <<<"$out")
  worker=$(sed -n "s/^worker $node //p" <<<"$out")
  [[ -n $task && $task == "$worker" ]] || fail "on $node a worker is elsewhere than its task: $out"
  [[ $task == *"/slurm_$node/"*"/step_0"* ]] || fail "the task of $node is in no group of Slurm: $out"
done
# One of two CPUs: Slurm has bound the task, and the worker cannot run on the other one.
[[ $(sed -n 's/^worker n1 cpus \([^ ]*\) .*/\1/p' <<<"$out") != *[-,]* ]] || fail "the worker has more than the task's CPU: $out"

# With control groups SIGTERM reaches the tasks alone and SIGKILL reaches all.
for signal in TERM KILL; do
  : >"$FIXTURE_SHARED/log"
  srun -Q -N2 -n2 --kill-on-bad-exit=0 --wait=0 "$app" hold >"$FIXTURE_SHARED/log" 2>&1 &
  srun=$!
  end=$((SECONDS + 60))
  until grep -q holding "$FIXTURE_SHARED/log"; do
    ((SECONDS < end)) || fail "it does not start: $(<"$FIXTURE_SHARED/log")"
    sleep 0.05
  done
  scancel --signal="$signal" "$(squeue -h -o %i).0"
  rc=0
  wait "$srun" || rc=$?
  ((rc != 0)) || fail "srun ended with 0 after SIG$signal"
  allow=no
  if [[ $signal == KILL ]]; then allow=yes; fi
  FIXTURE_ALLOW_SESSIONS=$allow FIXTURE_PATIENCE=10 "$FIXTURE/check-nodes.sh" || fail "something is left after SIG$signal"
done
run 60 srun -Q -N2 -n2 "$app" nodes
expect 0 "$(nodes 1 2)" "the next start"
rm "$FIXTURE_SHARED/log"
