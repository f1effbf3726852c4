#!/usr/bin/env bash
# check-nodes.sh: fails, and says what, when after the end of all jobs a process, shared memory, file or socket of them is left on a
# node of with-slurm.sh.  What is still ending gets FIXTURE_PATIENCE seconds [20].  FIXTURE_ALLOW_SESSIONS=yes passes over the
# directories of sessions whose processes were all killed at once, FIXTURE_ALLOW_STEPS=yes over Slurm's own processes of a step that ends.
set -euo pipefail
dir=$FIXTURE_DIR

# Whoever has called us, up to the fixture.
callers=" $$ "
for ((pid = $$; pid > 1;)); do
  pid=$(sed 's/.*) . \([0-9]*\).*/\1/' "/proc/$pid/stat")
  callers+="$pid "
done

# Processes of the pid namespace that are neither Slurm's daemons nor the fixture's.
processes() {
  local stat pid name state parent
  for stat in /proc/[0-9]*/stat; do
    pid=${stat#/proc/} pid=${pid%/stat}
    # The name may hold blanks and parentheses.
    { read -r _ <"$stat"; } 2>/dev/null || continue
    name=$(<"/proc/$pid/comm") 2>/dev/null || continue
    read -r state parent _ < <(sed 's/.*) //' "$stat" 2>/dev/null) || continue
    case $name in slurmctld | slurmd | slurmscriptd | munged) continue ;; esac
    if [[ ${FIXTURE_ALLOW_STEPS-} == yes && ($name == slurmstepd || $name == srun) ]]; then continue; fi
    if [[ $pid == 1 || $callers == *" $pid "* || $parent == "$$" || $parent == "$BASHPID" || $pid == "$BASHPID" || $state == Z ]]; then continue; fi
    if grep -qx "$pid" "$dir"/node/*; then continue; fi
    echo "process $pid ($name): $(tr '\0' ' ' <"/proc/$pid/cmdline")"
  done 2>/dev/null
}

# On one node, through its holder: run in its namespaces.
on_node() {
  find /dev/shm -mindepth 1 -printf 'shared memory %p\n'
  # An empty mobula-UID is the place for the next session.
  local sessions='/mobula-[0-9]*/s-*'
  if [[ ${FIXTURE_ALLOW_SESSIONS-} != yes ]]; then sessions=/none; fi
  find /tmp -xdev -mindepth 1 ! -type d ! -path "/tmp$sessions" -printf 'file %p\n'
  find /tmp -xdev -mindepth 1 -type d -empty ! -name 'mobula-[0-9]*' ! -path "/tmp$sessions" -printf 'directory %p\n'
  ipcs -m | awk '/^0x/ {print "System V shared memory", $0}'
  awk '$8 ~ /^@/ {print "abstract socket", $8}' /proc/net/unix
}

left() {
  local node
  processes
  for node in "$dir"/node/*; do
    nsenter -t "$(<"$node")" --net --ipc --mount bash -c "$(declare -f on_node); on_node" | sed "s/^/${node##*/}: /"
  done
}

end=$((SECONDS + ${FIXTURE_PATIENCE-20}))
while found=$(left); [[ -n $found ]]; do
  if ((SECONDS >= end)); then
    printf '%s\n' "$found" | sed 's/^/check-nodes: left behind: /' >&2
    exit 1
  fi
  sleep 0.1
done
