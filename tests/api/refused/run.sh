#!/bin/sh
# Each file here must be refused by the compiler, in eleven lines at most (apart from quoted source), with the
# sentence of its first line and the text of its second (the type, or the function).
#   run.sh COMPILER SOURCE_DIR
compiler=$1
root=$2
failures=0
if "$compiler" --version | grep -q clang; then plain=-fno-caret-diagnostics; else plain=-fno-diagnostics-show-caret; fi
for file in "$root"/tests/api/refused/*.cpp; do
  sentence=$(sed -n 's/^\/\/ says: //p' "$file")
  named=$(sed -n 's/^\/\/ names: //p' "$file")
  out=$("$compiler" -std=c++20 -fsyntax-only $plain -I"$root" -I"$root/core/api/include" "$file" 2>&1)
  if [ $? -eq 0 ]; then
    echo "$file: accepted"
    failures=$((failures + 1))
    continue
  fi
  lines=$(printf '%s\n' "$out" | grep -c .)
  case $out in *"$sentence"*) ;; *) echo "$file: does not say \"$sentence\"" && bad=1 ;; esac
  case $out in *"$named"*) ;; *) echo "$file: does not name \"$named\"" && bad=1 ;; esac
  [ "$lines" -le 11 ] || { echo "$file: $lines lines" && bad=1; }
  if [ -n "$bad" ]; then
    printf '%s\n' "$out"
    failures=$((failures + 1))
    bad=
  fi
done
[ $failures -eq 0 ] && echo "all refused as they should be"
exit $((failures != 0))
