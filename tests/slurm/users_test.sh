#!/usr/bin/env bash
# users_test.sh APP, inside with-slurm.sh 2 of two GPUs a node: clusters of two users side by side on the same nodes, and GPUs from GRES.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1

# Slurm tells each task its GPU; the node has those of all its tasks.
run 60 srun -Q -w n1 -N1 -n2 --gpus-per-task=1 "$app" lent
[[ $rc == 0 && $out == *"gpus 2"$'\n'*"worker: cpus"*"gpus 0,1"* ]] || fail "GPUs from GRES: exit code $rc: $out"

((EUID == 0)) || { echo "users_test: only root can be two users"; exit 0; }
nobody=(env HOME=/tmp setpriv --reuid=65534 --regid=65534 --clear-groups)
run 60 "${nobody[@]}" test -x "$app"
[[ $rc == 0 ]] || { echo "users_test: another user cannot reach $app"; exit 0; }

# start NAME COMMAND...: a cluster that holds its nodes until it is killed.
start() {
  local end=$((SECONDS + 60))
  "${@:2}" srun -Q -w 'n[1-2]' -N2 -n2 "$app" hold >"$FIXTURE_SHARED/$1" 2>&1 &
  until grep -q holding "$FIXTURE_SHARED/$1"; do
    ((SECONDS < end)) || fail "$1 does not start: $(cat "$FIXTURE_SHARED/$1")"
    sleep 0.05
  done
}
start root env
start nobody "${nobody[@]}"
for user in root nobody; do
  [[ $(grep -c '^n[12] n[12]$' "$FIXTURE_SHARED/$user") == 2 ]] || fail "$user sees: $(cat "$FIXTURE_SHARED/$user")"
done
# Each has its own directory on each node, which the other cannot look into.
for node in n1 n2; do
  for uid in 0 65534; do
    run 10 "$FIXTURE/nodesh" "$node" "stat -c '%a %u' /tmp/mobula-$uid"
    [[ $out == "700 $uid" ]] || fail "the directory of user $uid on $node: $out"
  done
  run 10 "$FIXTURE/nodesh" "$node" "setpriv --reuid=65534 --regid=65534 --clear-groups ls /tmp/mobula-0"
  [[ $rc != 0 ]] || fail "user 65534 looks into the other's directory on $node"
done
# Nor can it open what the other has sealed for itself, by Slurm's own munged.
socket=$FIXTURE_DIR/run/munge.sock
echo secret | munge --socket="$socket" --restrict-uid=0 >"$FIXTURE_SHARED/sealed"
run 10 "${nobody[@]}" unmunge --socket="$socket" <"$FIXTURE_SHARED/sealed"
[[ $rc != 0 && $out != *secret* ]] || fail "another user opens a credential: $out"
scancel --signal=KILL -u root
scancel --signal=KILL -u nobody
wait || true
rm "$FIXTURE_SHARED"/{root,nobody,sealed}
for node in n1 n2; do "$FIXTURE/nodesh" "$node" 'rm -rf /tmp/mobula-65534'; done  # What SIGKILL leaves, as documented.
