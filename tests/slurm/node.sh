#!/usr/bin/env bash
# node.sh NUMBER PID: makes the namespaces that it was started in those of node nNUMBER, joined to the bridge in the network of
# process PID, says "up" into $FIXTURE_DIR/node/nNUMBER.ready, and holds them.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/private-tmp.sh"
number=$1 outside=$2
exec {ready}<>"$FIXTURE_DIR/node/n$number.ready"
trap 'echo failed >&"$ready"' ERR
hostname "n$number"
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
private_tmp "$FIXTURE_DIR" "$(cd "$here/../.." && pwd)" "$PWD" ${FIXTURE_KEEP-}
ip link set lo up
ip link add eth0 type veth peer name "node$number" netns "$outside"
ip addr add "10.213.0.$((10 + number))/24" dev eth0
ip link set eth0 up
nsenter -t "$outside" -n ip link set "node$number" master bridge up
echo up >&"$ready"
exec sleep infinity
