#!/bin/bash
# check_symbols.sh SOURCE NM ARCHIVE: decisions make no system call.  Whatever the archive needs from outside is
# mobula::base, or stands in allowed_symbols.txt (extended regular expressions for whole demangled names).
set -euo pipefail
source=$1 nm=$2 archive=$3
undefined=$("$nm" -C --undefined-only "$archive" | sed -nE 's/^ +[Uvw] //p' | sort -u)
defined=$("$nm" -C --defined-only "$archive" | sed -nE 's/^[0-9a-f]+ [A-Za-z] //p' | sort -u)
outside=$(comm -23 <(printf '%s\n' "$undefined") <(printf '%s\n' "$defined"))
bad=$(printf '%s\n' "$outside" | grep -vxE -f <(grep -vE '^(#|$)' "$source/tests/link/allowed_symbols.txt") || true)
if [[ -n $bad ]]; then
  echo "$(basename "$archive") needs what a decision must not need:" >&2
  printf '  %s\n' "$bad" >&2
  exit 1
fi
echo "$(basename "$archive"): $(printf '%s\n' "$outside" | grep -c .) symbols from outside, all allowed"
