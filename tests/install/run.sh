#!/bin/bash
# run.sh BUILD APP: installs the build into a fresh prefix, moves that, and builds and runs APP against it, once
# with CMake's package and once with pkg-config.
set -euo pipefail
build=$1 app=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >"$work/log"
mv "$work/first" "$work/moved"
prefix=$work/moved

check() {  # check HOW PROGRAM
  local said
  said=$("$2")
  [[ $said == "hello world" ]] || { echo "built with $1 it said: $said" >&2; exit 1; }
  echo "built with $1: $said"
}

cmake -S "$app" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >"$work/log" 2>&1 &&
  cmake --build "$work/build" >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
check find_package "$work/build/app"

# The system's own directories come first in PKG_CONFIG_PATH's absence; ours is named alone.
pc=$(dirname "$(find "$prefix" -name mobula.pc)")
read -ra flags <<<"$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs mobula)"
"${CXX:-c++}" -std=c++20 -O1 "$app/main.cpp" -o "$work/app" "${flags[@]}"
check pkg-config "$work/app"

"$prefix/bin/mobula" version
(cd "$work" && "$prefix/bin/mobula" new wave >"$work/log")
cmake -S "$work/wave" -B "$work/wave/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1 &&
  cmake --build "$work/wave/build" >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
said=$("$work/wave/build/wave")
[[ $said == "the sum of the first 100 squares is 338350" ]] || { echo "mobula new wave said: $said" >&2; exit 1; }
echo "mobula new wave: $said"
if grep -rn --include='*.h' -E '#include "(core|transport|objstore|scheduler)/' "$prefix/include"; then
  echo "an installed header includes by a path of the source tree" >&2
  exit 1
fi
