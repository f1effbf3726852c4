#!/usr/bin/env bash
# start_test.sh APP MOBULA, inside with-slurm.sh 2: a cluster of two hosts by `mobula start`, the second with nothing but the address
# and a copy of the key.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 mobula=$2
on="$FIXTURE/nodesh"
on() { "$on" "$@"; }
field() { grep -o "\"$1\": *\"[^\"]*\"" <<<"$out" | head -1 | sed 's/.*: *"//; s/"$//'; }
trap 'on n2 "$mobula stop" >/dev/null 2>&1 || true; on n1 "$mobula stop" >/dev/null 2>&1 || true; rm -f "$FIXTURE_SHARED/key"' EXIT

n1=$(on n1 "getent ahostsv4 n1" | awk 'NR == 1 {print $1}')
run 40 "$on" n1 "$mobula start --head --interface $n1 --json"
[[ $rc == 0 ]] || fail "start --head: exit code $rc: $out"
address=$(field address) key=$(field key_file)
[[ $address == *"$n1"* ]] || fail "the head's address: $out"
(umask 077 && on n1 "cat $key" >"$FIXTURE_SHARED/key")
run 40 "$on" n2 "$mobula start --address $address --key-file $FIXTURE_SHARED/key"
[[ $rc == 0 ]] || fail "start --address: exit code $rc: $out"
run 60 "$on" n1 "$mobula submit -- $app nodes"
[[ $rc == 0 && $out == *" n1"* && $out == *" n2"* ]] || fail "tasks on both hosts: exit code $rc: $out"
run 60 "$on" n2 "$mobula submit -- $app nodes"
[[ $rc == 0 && $out == *"driver n2"* && $out == *" n1"* && $out == *" n2"* ]] || fail "a driver on the other: exit code $rc: $out"
printf 'no key\n' >"$FIXTURE_SHARED/key"
run 40 "$on" n2 "$mobula start --address $address --key-file $FIXTURE_SHARED/key"
[[ $rc != 0 ]] || fail "joined with a wrong key: $out"
run 40 "$on" n1 "$mobula stop"
[[ $rc == 0 ]] || fail "stop: exit code $rc: $out"
run 40 "$on" n2 "$mobula stop"
[[ $rc == 0 ]] || fail "stop on the other host: exit code $rc: $out"
