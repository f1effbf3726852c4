#!/usr/bin/env bash
# start-slurm.sh NODES: starts munged, slurmctld and a slurmd per node in the namespaces of with-slurm.sh, whose part it is, and
# returns when all nodes are idle.  Each node's namespaces are held by a process of their own ($FIXTURE_DIR/node/NAME), so
# that they outlive a slurmd that a test kills; `nodesh NAME COMMAND` enters them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
nodes=$1 dir=$FIXTURE_DIR deadline=${FIXTURE_DEADLINE-60}
export SLURM_CONF=$dir/slurm.conf
mkdir -p "$dir"/{log,run,state,spool,node}

die() { echo "start-slurm: $*" >&2; exit 1; }

ip link add bridge type bridge
ip addr add 10.213.0.1/24 dev bridge
ip link set bridge up
{
  echo "127.0.0.1 localhost"
  echo "10.213.0.1 $(hostname -s)"
  for ((i = 1; i <= nodes; ++i)); do echo "10.213.0.$((10 + i)) n$i"; done
} >"$dir/hosts"
mount --bind "$dir/hosts" /etc/hosts
"$here/slurm-conf.sh" "$nodes"

# A key and a socket of our own; --force accepts the directory's mode.
(umask 077; head -c 128 /dev/urandom >"$dir/run/munge.key")
munged --force --num-threads=2 --socket="$dir/run/munge.sock" --key-file="$dir/run/munge.key" --pid-file="$dir/run/munged.pid" \
  --seed-file="$dir/run/munged.seed" --log-file="$dir/log/munged.log" >"$dir/log/munged.start.log" 2>&1 || die "munged did not start"
setsid slurmctld -D -i -f "$SLURM_CONF" </dev/null >"$dir/log/slurmctld.out" 2>&1 &

for ((i = 1; i <= nodes; ++i)); do
  mkdir -p "$dir/spool/n$i" "$dir/tmp/n$i"
  chmod 1777 "$dir/tmp/n$i"
  mkfifo "$dir/node/n$i.ready"
  setsid unshare --net --uts --ipc --mount --propagation private "$here/node.sh" "$i" "$$" </dev/null >"$dir/log/node-n$i.out" 2>&1 &
  echo $! >"$dir/node/n$i"
done
for ((i = 1; i <= nodes; ++i)); do
  read -r -t "$deadline" ready <"$dir/node/n$i.ready" && [[ $ready == up ]] || die "node n$i: $(tail -1 "$dir/log/node-n$i.out")"
  rm "$dir/node/n$i.ready"
  "$here/start-slurmd.sh" "n$i"
done

end=$((SECONDS + deadline))
until (($(timeout 5 sinfo -h -N -t idle -o %N 2>/dev/null | wc -l) == nodes)); do
  ((SECONDS < end)) || die "not all nodes are idle after $deadline s: $(timeout 5 sinfo -h -N -o '%N=%T %E' 2>&1 | tr '\n' ' ')"
  sleep 0.05
done
