#!/usr/bin/env bash
# rendezvous_test.sh APP, inside with-slurm.sh 4: each way in which nodes find each other, and nodes that are late or missing.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1

for mpi in none pmi2 pmix; do
  if [[ $mpi == pmix && ! $(srun --mpi=list 2>&1) == *pmix* ]]; then echo "rendezvous_test: no mpi/pmix here"; continue; fi
  run 40 srun -Q --mpi=$mpi -N4 -n4 "$app" nodes
  expect 0 "$(nodes 1 2 3 4)" "srun --mpi=$mpi"
  run 40 srun -Q --mpi=$mpi -w 'n[1-2]' -N2 -n4 "$app" nodes 9
  expect 9 "$(nodes 1 2)" "srun --mpi=$mpi with two tasks a node"
done

export MOBULA_RENDEZVOUS_DIR=$FIXTURE_SHARED/meet
MOBULA_RENDEZVOUS=file run 40 srun -Q -N4 -n4 "$app" nodes
expect 0 "$(nodes 1 2 3 4)" "through a file"
[[ $(stat -c %a "$MOBULA_RENDEZVOUS_DIR") == 700 && -z $(ls "$MOBULA_RENDEZVOUS_DIR") ]] || fail "the file stayed, or its directory is open"
# While the file is there, and with it the secret: nobody's arguments or environment has that, nor what Slurm knows of the job.
held='if [ "$SLURM_NODEID" = 1 ]; then until [ -e "$1" ]; do sleep 0.05; done; fi; exec "$0" nodes'
MOBULA_RENDEZVOUS=file srun -Q -w 'n[1-2]' -N2 -n2 sh -c "$held" "$app" "$FIXTURE_SHARED/go" >"$FIXTURE_SHARED/said" 2>&1 &
srun=$! end=$((SECONDS + 30))
until invitation=$(ls "$MOBULA_RENDEZVOUS_DIR"/start-* 2>/dev/null) && [[ $invitation != *.new* ]]; do
  ((SECONDS < end)) || fail "no invitation is written: $(<"$FIXTURE_SHARED/said")"
  sleep 0.02
done
scontrol -o show job >"$FIXTURE_SHARED/shown"
scontrol -o show step >>"$FIXTURE_SHARED/shown"
python3 - "$invitation" "$FIXTURE_SHARED/shown" <<'PYTHON' || fail "the secret can be seen"
import glob, sys
secret = open(sys.argv[1], "rb").read()[-32:]
assert len(secret) == 32
looked = 0
for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + [sys.argv[2]]:
    try:
        data = open(path, "rb").read()
    except OSError:
        continue  # It has ended.
    looked += 1
    if secret in data or secret.hex().encode() in data.lower():
        sys.exit("the secret is in " + path)
assert looked > 10
PYTHON
touch "$FIXTURE_SHARED/go"
wait "$srun" || fail "the held start: $(<"$FIXTURE_SHARED/said")"
rm "$FIXTURE_SHARED"/{go,said,shown}
chmod 755 "$MOBULA_RENDEZVOUS_DIR"
MOBULA_RENDEZVOUS=file run 40 srun -Q -w 'n[1-2]' -N2 -n2 "$app" nodes
[[ $rc != 0 && $out == *"open to others"* ]] || fail "a directory that others may read was taken: $out"
rmdir "$MOBULA_RENDEZVOUS_DIR"
unset MOBULA_RENDEZVOUS_DIR

MOBULA_RENDEZVOUS=pmix run 40 srun -Q --mpi=none -w 'n[1-2]' -N2 -n2 "$app" nodes
[[ $rc != 0 && $out == *"cannot find each other"*"--mpi=pmix"*"pmi2"* ]] || fail "no way at all: exit code $rc: $out"

# The third node comes a second later.
late='if [ "$SLURM_NODEID" = 2 ]; then sleep 1; fi; exec "$0" nodes'
run 40 srun -Q -w 'n[1-3]' -N3 -n3 sh -c "$late" "$app"
expect 0 "$(nodes 1 2 3)" "a node that is late"

# The third node's task stays away until the first has ended, however slow the machine.
missing='if [ "$SLURM_NODEID" = 2 ]; then until [ -e "$1" ]; do sleep 0.05; done; exit 0; fi
rc=0; "$0" nodes || rc=$?; if [ "$SLURM_NODEID" = 0 ]; then touch "$1"; fi; exit $rc'
without_third() { # SRUN'S OPTIONS...
  run 40 srun -Q "$@" -w 'n[1-3]' -N3 -n3 sh -c "$missing" "$app" "$FIXTURE_SHARED/over"
  rm -f "$FIXTURE_SHARED/over"
}
MOBULA_START_TIMEOUT=5 without_third
[[ $rc != 0 && $out == *"2 of 3 tasks"*"missing: n3"* ]] || fail "a node that does not come: exit code $rc: $out"
MOBULA_START_TIMEOUT=5 MOBULA_MIN_NODES=2 without_third
[[ $rc == 0 && $out == *"going on without all nodes"*"missing: n3"* && $out == *"n2 n2"* ]] ||
  fail "enough nodes: exit code $rc: $out"
# A launcher's PMIx waits for nobody; PMI's barrier does, and rank 0 finds out for whom.
if [[ $(srun --mpi=list 2>&1) == *pmix* ]]; then
  MOBULA_START_TIMEOUT=5 without_third --mpi=pmix
  [[ $rc != 0 && $out == *"2 of 3 tasks"*"missing: n3"* ]] || fail "a node that does not come to PMIx: exit code $rc: $out"
fi
MOBULA_START_TIMEOUT=5 without_third --mpi=pmi2
[[ $rc != 0 && $out == *"PMI's barrier"*"1 of 3 tasks are missing: rank2; nothing came from: n3"* ]] || fail "a node that does not come to PMI: exit code $rc: $out"
MOBULA_START_TIMEOUT=5 MOBULA_MIN_NODES=2 without_third --mpi=pmi2
[[ $rc == 0 && $out == *"going on without all nodes"*"missing: n3"* && $out == *"n2 n2"* ]] ||
  fail "enough nodes with PMI: exit code $rc: $out"
