#!/usr/bin/env bash
# layouts_test.sh APP, inside with-slurm.sh 4: heterogeneous jobs, several clusters in one allocation, batch jobs.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1

run 60 srun -Q -w n1 -N1 -n1 "$app" nodes : -w 'n[3-4]' -N2 -n3 "$app" nodes
[[ $rc == 0 && $out == *"driver n1"* && $(grep -c '^n' <<<"$out") == 3 ]] || fail "a heterogeneous job: exit code $rc: $out"

# The same of parts that were allocated before.
run 60 salloc -Q -w n1 -N1 -n1 : -w 'n[3-4]' -N2 -n2 srun -Q --het-group=0,1 "$app" nodes 3
[[ $rc == 3 && $out == *"driver n1"* && $(grep -c '^n' <<<"$out") == 3 ]] || fail "--het-group=0,1: exit code $rc: $out"
run 60 salloc -Q -w n1 -N1 -n1 : -w 'n[3-4]' -N2 -n2 srun -Q --het-group=1 "$app" nodes
[[ $rc == 0 && $out == *"driver n3"* && $(grep -c '^n' <<<"$out") == 2 ]] || fail "--het-group=1: exit code $rc: $out"

# Tasks of a node lend what they are bound to: its workers may use all of that, the driver keeps its own.
run 60 srun -Q -w n1 -N1 -n2 sh -c 'CUDA_VISIBLE_DEVICES=GPU-$SLURM_LOCALID exec taskset -c $SLURM_LOCALID "$0" lent' "$app"
expect 0 "cluster: cpus 2.0 gpus 2
worker: cpus 0-1 gpus GPU-0,GPU-1
driver: cpus 0 gpus GPU-0" "lent CPUs and GPUs"
run 60 srun -Q -w n1 -N1 -n2 taskset -c 1 "$app" lent
expect_in 0 "worker: cpus 1 gpus -" "the same CPU twice"

# On another node they are that node's.
run 60 srun -Q -w 'n[1-2]' -N2 -n2 sh -c 'CUDA_VISIBLE_DEVICES=GPU-$SLURMD_NODENAME exec "$0" lent n2' "$app"
expect_in 0 "gpus GPU-n2" "GPUs of another node"

# Two steps side by side on the same nodes: two clusters.
run 60 salloc -Q -w 'n[1-2]' -N2 -n2 bash -c '
  srun -Q --overlap -N2 -n2 "$0" nodes 4 >$FIXTURE_SHARED/a & one=$!
  srun -Q --overlap -N2 -n2 "$0" nodes 5 >$FIXTURE_SHARED/b & two=$!
  a=0; b=0; wait $one || a=$?; wait $two || b=$?; echo "$a $b"' "$app"
[[ $rc == 0 && $(tail -1 <<<"$out") == "4 5" ]] || fail "two steps in one allocation: exit code $rc: $out"
for file in a b; do
  [[ $(sort "$FIXTURE_SHARED/$file") == "$(nodes 1 2 | sort)" ]] || fail "step $file printed: $(cat "$FIXTURE_SHARED/$file")"
done
rm "$FIXTURE_SHARED"/[ab]

# A batch job: srun inside is a cluster over its nodes; without it the program is alone on the first.
cat >"$FIXTURE_SHARED/job" <<JOB
#!/bin/bash
#SBATCH -N3 -n3 -w n[1-3] -o $FIXTURE_SHARED/out
srun -Q "$app" nodes 6
echo "code \$?"
"$app" nodes
JOB
run 60 sbatch -W "$FIXTURE_SHARED/job"
[[ $rc == 0 ]] || fail "sbatch: exit code $rc: $out"
[[ $(grep -c '^n[123] n[123]$' "$FIXTURE_SHARED/out") == 3 ]] || fail "the batch job printed: $(cat "$FIXTURE_SHARED/out")"
grep -qx 'code 6' "$FIXTURE_SHARED/out" || fail "the batch job saw another code: $(cat "$FIXTURE_SHARED/out")"
[[ $(grep -c '^driver n1$' "$FIXTURE_SHARED/out") == 2 ]] || fail "the batch job printed: $(cat "$FIXTURE_SHARED/out")"
rm "$FIXTURE_SHARED"/{job,out}
