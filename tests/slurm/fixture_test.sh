#!/usr/bin/env bash
# Inside with-slurm.sh 4: nodes are apart, and fail one by one.
set -euo pipefail
fail() { echo "fixture_test: $*" >&2; exit 1; }

[[ $(timeout 20 srun -N4 hostname | sort | tr '\n' ' ') == 'n1 n2 n3 n4 ' ]] || fail "srun -N4 did not run on each node"
[[ $(timeout 20 srun -N1 -w n3 hostname -i) == 10.213.0.13 ]] || fail "n3 has not its address"
[[ $("$FIXTURE/nodesh" -x n2 hostname) == n2 ]] || fail "nodesh n2 is elsewhere"
timeout 20 srun -N4 sh -c 'touch /tmp/$SLURMD_NODENAME /dev/shm/$SLURMD_NODENAME'
[[ $(timeout 20 srun -N1 -w n3 sh -c 'echo /tmp/n? /dev/shm/n?') == '/tmp/n3 /dev/shm/n3' ]] || fail "nodes share a directory"
timeout 20 srun -N4 sh -c 'rm /tmp/$SLURMD_NODENAME /dev/shm/$SLURMD_NODENAME; touch $FIXTURE_SHARED/$SLURMD_NODENAME'
[[ $(ls "$FIXTURE_SHARED" | wc -l) == 4 ]] || fail "the shared directory is not shared"

rc=0
timeout 20 srun -N2 sh -c 'exit 7' 2>/dev/null || rc=$?
((rc == 7)) || fail "srun ended with $rc, its tasks with 7"

"$FIXTURE/fail-node.sh" n4
"$FIXTURE/nodesh" n4 'ps -eo pid' >/dev/null || fail "the namespaces of n4 went with its processes"
"$FIXTURE/start-slurmd.sh" n4
[[ $(timeout 60 srun -N4 hostname | wc -l) == 4 ]] || fail "n4 did not come back"
