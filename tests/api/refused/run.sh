#!/bin/sh
# Each file here must be refused by the compiler, in eleven lines at most (apart from quoted source), with the
# sentence of its first line and the text of its second (the type, or the function).
#   run.sh COMPILER SOURCE_DIR [FILE]
compiler=$1
root=$2
file=$3
if [ -z "$file" ]; then
  printf '%s\n' "$root"/tests/api/refused/*.cpp | xargs -P 2 -n 1 "$0" "$compiler" "$root" || exit 1
  echo "all refused as they should be"
  exit 0
fi

sentence=$(sed -n 's/^\/\/ says: //p' "$file")
named=$(sed -n 's/^\/\/ names: //p' "$file")
if "$compiler" --version | grep -q clang; then plain=-fno-caret-diagnostics; else plain=-fno-diagnostics-show-caret; fi
out=$("$compiler" -std=c++20 -fsyntax-only $plain -I"$root" -I"$root/core/api/include" "$file" 2>&1) && wrong="was accepted"
lines=$(printf '%s\n' "$out" | grep -c .)
[ "$lines" -le 11 ] || wrong="takes $lines lines"
case $out in *"$named"*) ;; *) wrong="does not name \"$named\"" ;; esac
case $out in *"$sentence"*) ;; *) wrong="does not say \"$sentence\"" ;; esac
[ -z "$wrong" ] && exit 0
printf '%s %s\n%s\n' "$file" "$wrong" "$out"
exit 1
