#!/usr/bin/env bash
# with-slurm.sh NODES COMMAND...: runs COMMAND beside a real Slurm of NODES nodes n1, n2, ..., each with a hostname, address, /tmp,
# /dev/shm and System V shared memory of its own, up in half a second.  All lives in private net, UTS, IPC, mount and pid
# namespaces, so nothing can collide or outlive it.  Works as root and as an ordinary user.
#
# Exit code: COMMAND's; 77 where this machine cannot (the reason is printed); 125 where Slurm did not start; 3 where COMMAND
# succeeded and something of its jobs is left on a node (check-nodes.sh; FIXTURE_CHECK=no leaves that out).
# COMMAND sees SLURM_CONF, FIXTURE (this folder), FIXTURE_DIR (logs, pids), and FIXTURE_SHARED, a directory that all nodes share.
#
# Settings, FIXTURE_...: CPUS of a node [2], MEMORY in MiB [2000], GPUS (faked) [0], SWITCHES [2], PROCTRACK [linuxproc], TASK
# [none], MPI (the default of srun) [none], SLURMD_TIMEOUT [10], KILL_WAIT [5], EPILOG: the `mobula` whose sweep is the epilog [none], EXTRA lines of slurm.conf.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
. "$here/private-tmp.sh"

cannot() { echo "with-slurm: skipped: $*" >&2; exit 77; }

namespaces=(--net --uts --ipc --mount --pid --fork --kill-child --mount-proc --propagation private)
if ((EUID != 0)); then namespaces=(--user --map-current-user --keep-caps "${namespaces[@]}"); fi

if [[ ${1-} != --inside ]]; then
  (($# >= 2)) || { sed -n '2,4p' "$0" >&2; exit 2; }
  for program in slurmctld slurmd srun sinfo munged unshare nsenter ip ipcs; do
    command -v "$program" >/dev/null || cannot "no $program here (Debian: slurmctld slurmd slurm-client munge iproute2 util-linux)"
  done
  # Veth pairs and tmpfs are what containers most often deny.
  why=$(unshare "${namespaces[@]}" sh -c 'mount -t tmpfs tmpfs /dev/shm && ip link add name probe0 type veth peer name probe1' 2>&1) ||
    cannot "no private namespaces with a network here: ${why##*$'\n'}"
  exec unshare "${namespaces[@]}" "$here/with-slurm.sh" --inside "$@"
fi

nodes=$2
shift 2
# What is seen of /tmp: the program's folders, where they lie there.
private_tmp "$(cd "$here/../.." && pwd)" "$PWD" ${FIXTURE_KEEP-}
export FIXTURE=$here FIXTURE_DIR=/tmp/slurm FIXTURE_SHARED=/tmp/slurm/shared
mkdir -m 755 "$FIXTURE_DIR"
mkdir -m 700 "$FIXTURE_SHARED"
# Not of this machine: a launcher that these tests run under, or the user's session.
unset "${!SLURM@}" "${!PMI@}" "${!OMPI_@}" XDG_RUNTIME_DIR TMPDIR MOBULA_TMPDIR

ip link set lo up
if ! "$here/start-slurm.sh" "$nodes"; then
  tail -n 5 "$FIXTURE_DIR"/log/*.log >&2 || true
  exit 125
fi
export SLURM_CONF=$FIXTURE_DIR/slurm.conf
rc=0
"$@" || rc=$?
if ((rc != 0 && rc != 77)); then
  echo "with-slurm: the command ended with $rc; the last lines of Slurm's logs:" >&2
  tail -n 8 "$FIXTURE_DIR"/log/slurm*.log >&2
fi
if [[ ${FIXTURE_CHECK-yes} == yes ]] && ! "$here/check-nodes.sh" && ((rc == 0)); then rc=3; fi
# Whoever is left ends with this process, the first of the pid namespace.
exit "$rc"
