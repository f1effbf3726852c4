#!/bin/sh
# Runs a page's program and compares what it prints with what the page says.
#   run.sh PROGRAM EXPECTED
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
"$1" > "$out" || { echo "the program failed"; cat "$out"; exit 1; }
diff -u "$2" "$out"
