#!/usr/bin/env bash
# tools_test.sh APP MOBULA, inside with-slurm.sh 4: the `mobula` program in Slurm.
set -euo pipefail
app=$1 mobula=$2
export MOBULA_STORE_BYTES=64M
fail() { echo "tools_test: $*" >&2; exit 1; }

# A node is labelled with its place in the network.
for place in "n1 s1" "n4 s2"; do
  read -r node switch <<<"$place"
  said=$(timeout 60 srun -Q -N1 -n1 -w "$node" "$app")
  [[ $said == *"\"mobula.topology/switch\":\"$switch\""* && $said == *'"mobula.topology/spine":"root"'* ]] ||
    fail "$node is not at switch $switch: $said"
done

# The job script that is printed is one that Slurm takes, and its step's exit code is the job's.
cd "$FIXTURE_SHARED"
"$mobula" sbatch -N2 -t 10 --warning 60 sh -c 'echo "it is $(hostname)"; exit 3' >job.sbatch
sbatch --test-only job.sbatch 2>said || fail "Slurm does not take the script: $(<said)"
job=$(sbatch --parsable job.sbatch)
end=$((SECONDS + 60))
until [[ $(scontrol -o show job "$job") == *JobState=FAILED*ExitCode=3:0* ]]; do
  ((SECONDS < end)) || fail "job $job is not FAILED with 3: $(scontrol -o show job "$job")"
  sleep 0.1
done
[[ $(sort "sh-$job.out" | grep -v '^srun') == $'it is n1\nit is n2' ]] || fail "the job said: $(<"sh-$job.out")"
# A signal to the batch shell alone goes on to the tasks.
"$mobula" sbatch -N2 -t 10 sh -c 'trap "echo told; exit 0" USR1; echo ready; sleep 100 & wait' >job.sbatch
job=$(sbatch --parsable job.sbatch)
end=$((SECONDS + 60))
until (($(grep -c ready "sh-$job.out" 2>/dev/null || true) == 2)); do
  ((SECONDS < end)) || fail "the second job does not start"
  sleep 0.1
done
scancel --batch --signal=USR1 "$job"
until (($(grep -c told "sh-$job.out" || true) == 2)); do
  ((SECONDS < end)) || fail "the batch shell keeps the signal to itself: $(<"sh-$job.out")"
  sleep 0.1
done

# Nodes are compared inside an allocation; outside it is said what to do.
rc=0
said=$("$mobula" doctor --all-nodes 2>&1) || rc=$?
[[ $rc == 1 && $said == *salloc* ]] || fail "doctor outside an allocation: $rc $said"
said=$(timeout 60 salloc -Q -N4 "$mobula" doctor --all-nodes)
for word in 'OK    nodes         4 answered' 'clocks' 'memlock .* on all' 'mobula .* on all'; do
  grep -q -- "$word" <<<"$said" || fail "doctor does not say '$word': $said"
done
scancel -u "$(id -un)"
