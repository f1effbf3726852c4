#!/usr/bin/env bash
# start-slurmd.sh NODE: starts the node's slurmd, at first or after a test has killed it.
set -euo pipefail
dir=$FIXTURE_DIR node=$1
setsid nsenter -t "$(<"$dir/node/$node")" --net --uts --ipc --mount slurmd -D -N "$node" -f "$dir/slurm.conf" \
  </dev/null >>"$dir/log/slurmd-$node.out" 2>&1 &
