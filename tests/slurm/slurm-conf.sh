#!/usr/bin/env bash
# slurm-conf.sh NODES: writes slurm.conf, topology.conf, cgroup.conf and gres.conf for start-slurm.sh into $FIXTURE_DIR.
set -euo pipefail
nodes=$1 dir=$FIXTURE_DIR me=$(id -un)
gpus=${FIXTURE_GPUS-0} gres=''
if ((gpus > 0)); then gres=" Gres=gpu:$gpus"; fi

# MpiDefault: an srun that names none.  TmpFS: mpi/pmix makes spmix_appdir_UID_JOB.STEP under it, and nodes that share
# the directory fail with "File exists".  batch_sched_delay and the others: start jobs at once; the defaults wait up to 3 s and look at the
# queue each 60 s (the letters "defer" in here would have every srun wait 1 s).  config_overrides: believe CPUs= and
# RealMemory=, not the hardware.  NoCtldInAddrAny: slurmctld binds to what the own host name resolves to.
cat >"$dir/slurm.conf" <<CONF
ClusterName=fixture
SlurmctldHost=$(hostname -s)(10.213.0.1)
SlurmctldPort=6817
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
AuthInfo=socket=$dir/run/munge.sock
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
TmpFS=$dir/tmp/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
MailProg=/bin/true
PlugStackConfig=/dev/null
ProctrackType=proctrack/${FIXTURE_PROCTRACK-linuxproc}
TaskPlugin=task/${FIXTURE_TASK-none}
MpiDefault=${FIXTURE_MPI-none}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
TopologyPlugin=topology/tree
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
SlurmctldParameters=idle_on_node_suspend
SlurmdParameters=config_overrides
LaunchParameters=test_exec
ReturnToService=2
SlurmdTimeout=${FIXTURE_SLURMD_TIMEOUT-10}
SlurmctldTimeout=10
MessageTimeout=10
KillWait=${FIXTURE_KILL_WAIT-5}
MinJobAge=300
InactiveLimit=0
Waittime=0
UnkillableStepTimeout=30
JobRequeue=1
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobcomp.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PropagateResourceLimitsExcept=MEMLOCK
CONF
{
  if ((gpus > 0)); then echo GresTypes=gpu; fi
  for ((i = 1; i <= nodes; ++i)); do
    echo "NodeName=n$i NodeHostname=n$i NodeAddr=10.213.0.$((10 + i)) Port=$((6817 + i)) CPUs=${FIXTURE_CPUS-2}" \
      "RealMemory=${FIXTURE_MEMORY-2000}$gres State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO"
  printf '%s\n' "${FIXTURE_EXTRA-}"
} >>"$dir/slurm.conf"

# Leaf switches s1, s2, ... under one root switch.
switches=${FIXTURE_SWITCHES-2} leaf=0
each=$(((nodes + switches - 1) / switches))
{
  for ((first = 1; first <= nodes; first += each)); do
    last=$((first + each - 1))
    echo "SwitchName=s$((++leaf)) Nodes=n[$first-$((last < nodes ? last : nodes))]"
  done
  echo "SwitchName=root Switches=s[1-$leaf]"
} >"$dir/topology.conf"

echo "CgroupPlugin=${FIXTURE_CGROUP-autodetect}" >"$dir/cgroup.conf"
# File must name character devices; without it no CUDA_VISIBLE_DEVICES is set.
# As the operators' page says.
if [[ -n ${FIXTURE_EPILOG-} ]]; then
  printf '#!/bin/sh\nexec "%s" sweep --uid "$SLURM_JOB_UID"\n' "$FIXTURE_EPILOG" >"$dir/epilog"
  chmod 755 "$dir/epilog"
  echo "Epilog=$dir/epilog" >>"$dir/slurm.conf"
fi
if ((gpus > 0)); then echo "Name=gpu File=/dev/tty[0-$((gpus - 1))]" >"$dir/gres.conf"; fi
