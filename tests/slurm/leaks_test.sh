#!/usr/bin/env bash
# What a job leaves on a node of with-slurm.sh fails the test that ran it, whatever it is.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export FIXTURE_PATIENCE=1

# expect CODE WORDS COMMAND: what with-slurm.sh says of a job that runs COMMAND on one of two nodes.
expect() {
  local rc=0 said
  said=$("$here/with-slurm.sh" 2 timeout 20 srun -n1 bash -c "$3" 2>&1) || rc=$?
  if ((rc == 77)); then
    echo "$said"
    exit 77
  fi
  if ((rc != $1)) || [[ $said != *"$2"* ]]; then
    echo "leaks_test: \`$3\` ended with $rc instead of $1, or said not '$2' but: $said" >&2
    exit 1
  fi
}

expect 0 '' 'mkdir -m 700 /tmp/mobula-1'
expect 3 'n1: file /tmp/f' 'touch /tmp/f'
expect 3 'n1: directory /tmp/d' 'mkdir /tmp/d'
expect 3 'n1: shared memory /dev/shm/f' 'touch /dev/shm/f'
expect 3 'n1: System V shared memory' 'ipcmk -M 100'
expect 3 '(sleep): sleep 1000' '(setsid sh -c "sleep 1000 &" >/dev/null 2>&1 </dev/null &)'
expect 5 '' 'exit 5'
