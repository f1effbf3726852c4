#!/bin/sh
# run.sh SOURCE BUILD SANITIZERS: builds what is labelled `sanitize` with the sanitizers and runs it.
set -eu
cmake -S "$1" -B "$2" -G Ninja -DMOBULA_SANITIZE="$3" -DMOBULA_BENCH=OFF -DMOBULA_EXAMPLES=OFF >"$2.log" 2>&1 ||
  { cat "$2.log"; exit 1; }
cmake --build "$2" --target mobula_sanitize_tests >>"$2.log" 2>&1 || { tail -60 "$2.log"; exit 1; }
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
exec ctest --test-dir "$2" -L '^sanitize$' --no-tests=error --output-on-failure
