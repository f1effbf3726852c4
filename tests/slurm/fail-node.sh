#!/usr/bin/env bash
# fail-node.sh NODE: a node of with-slurm.sh loses power: every process on it is killed at once, slurmd included.
set -euo pipefail
holder=$(<"$FIXTURE_DIR/node/$1")
place=$(readlink "/proc/$holder/ns/uts")
# Twice: a process may be started while we look.
for _ in 1 2; do
  for uts in /proc/[0-9]*/ns/uts; do
    pid=${uts#/proc/} pid=${pid%%/*}
    if [[ $pid != "$holder" && $(readlink "$uts" 2>/dev/null) == "$place" ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
  done
done
