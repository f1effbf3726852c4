#!/usr/bin/env bash
# two_networks.sh mpirun ARGS...: runs mpirun on 10.214.0.1 of two hosts, each a network and a UTS namespace of its own, joined by
# a veth pair; what it starts on 10.214.0.2 runs in the other.  Both share this machine's CPUs.
set -euo pipefail
self=$(readlink -f "$0")
case $1 in
  --on) # In place of ssh: --on HOST COMMAND...
    shift 2
    exec nsenter -t "$MOBULA_BENCH_OTHER" -n -u sh -c "$*" ;;
  --inside) shift ;;
  *) exec unshare --net --uts --mount --propagation private --pid --fork --kill-child --mount-proc "$self" --inside "$@" ;;
esac
hostname bench0
# Says when it is in its namespaces, and ends with this one's processes.
coproc other { exec unshare --net --uts sh -c 'hostname bench1; ip link set lo up; echo there; exec sleep infinity'; }
MOBULA_BENCH_OTHER=$other_PID
read -r _ <&"${other[0]}"
ip link set lo up
ip link add eth0 type veth peer name eth0 netns "$MOBULA_BENCH_OTHER"
ip addr add 10.214.0.1/24 dev eth0
ip link set eth0 up
nsenter -t "$MOBULA_BENCH_OTHER" -n ip addr add 10.214.0.2/24 dev eth0
nsenter -t "$MOBULA_BENCH_OTHER" -n ip link set eth0 up
export MOBULA_BENCH_OTHER OMPI_MCA_plm_rsh_agent="$self --on"
"$@"
