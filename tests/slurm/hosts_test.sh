#!/usr/bin/env bash
# hosts_test.sh APP MOBULA, inside with-slurm.sh 3: mobula run --hosts, with nodesh for ssh.
set -euo pipefail
. "$FIXTURE/launch_lib.sh"
app=$1 mobula=$2
export MOBULA_RSH=$FIXTURE/nodesh

run 40 "$mobula" run --hosts 'n[1-3]' -- "$app" nodes 7
expect 7 "$(nodes 1 2 3)" "a list of hosts"
printf '%s\n' '# two of them' 'n2 slots=4' '' 'n1' >"$FIXTURE_SHARED/hosts"
run 40 "$mobula" run --hosts "$FIXTURE_SHARED/hosts" -- "$app" nodes
expect 0 "$(nodes 2 1)" "a file of hosts"
run 40 "$mobula" run --hosts 'n[1-2' -- "$app"
[[ $rc == 2 ]] || fail "half a list: exit code $rc: $out"
run 40 "$mobula" run --hosts n1,n9 -- "$app" nodes
[[ $rc != 0 && $out == *"host n9"* ]] || fail "a host that is not there: exit code $rc: $out"
run 40 "$mobula" run --hosts n1,n2 -- /no/such/program
[[ $rc == 127 ]] || fail "a program that is not there: exit code $rc: $out"
run 40 "$mobula" run --hosts n1,n2 -- "$app" crash
[[ $rc == 139 ]] || fail "a driver that crashes: exit code $rc: $out"
rm "$FIXTURE_SHARED/hosts"
