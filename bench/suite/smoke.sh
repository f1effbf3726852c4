#!/bin/sh
# A quick run of everything, and a look at what it wrote.
#   smoke.sh MOBULA_BENCH JSON_CHECK
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
"$1" --quick --json "$dir/rows.json" --svg "$dir/rows.svg" || exit 1
grep -q '</svg>' "$dir/rows.svg" || { echo "the picture is not whole"; exit 1; }
exec "$2" "$dir/rows.json"
