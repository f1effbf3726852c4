#!/bin/sh
# Runs an example and compares what it prints with what it should.
#   run.sh EXPECTED_LINE... -- COMMAND...
expected=
while [ "$1" != -- ]; do
  expected="$expected$1
"
  shift
done
shift
out=$("$@") || { echo "$1 ended with $?"; printf '%s\n' "$out"; exit 1; }
[ "$out
" = "$expected" ] && exit 0
printf 'expected:\n%sgot:\n%s\n' "$expected" "$out"
exit 1
