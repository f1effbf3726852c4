#!/bin/sh
# Compares wordcount's counts with those of a coreutils pipeline over the same real documents: the first directories of
# /usr/share/doc, up to some 16 MiB, and the common licences.
#   wordcount.sh COMMAND...
export LC_ALL=C
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
roots=/usr/share/common-licenses
size=0
for d in /usr/share/doc/*/; do
  [ -L "${d%/}" ] && continue  # find does not follow links that it is given, wordcount does.
  size=$((size + $(du -sk "$d" | cut -f1)))
  [ $size -gt 16384 ] && break
  roots="$roots ${d%/}"
done
set -- "$@" --top -1
for r in $roots; do set -- "$@" --root "$r"; done
"$@" > "$dir/out" || { echo "wordcount failed"; exit 1; }
grep -E '^ *[0-9]+ [a-z]+$' "$dir/out" | awk '{print $1, $2}' | sort > "$dir/ours"

# Each file by itself: a word ends with its file.
find $roots -type f -print0 |
  xargs -0 sh -c 'for f; do gzip -cdf -- "$f" 2>/dev/null; echo; done' sh |
  tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | grep . | sort | uniq -c | awk '{print $1, $2}' | sort > "$dir/theirs"
[ -s "$dir/theirs" ] || { echo "no documents to count"; exit 77; }
tail -n 6 "$dir/out"
diff "$dir/theirs" "$dir/ours" > "$dir/difference" && exit 0
head -n 20 "$dir/difference"
exit 1
