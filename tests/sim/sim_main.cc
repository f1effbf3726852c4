// Replays one seed of the scheduling simulation, or searches many:
//   sim_sched --seed N [--trace]
//   sim_sched --seeds N --from S

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/sched_world.h"

namespace {

int usage() {
  std::fputs("usage: sim_sched --seed N [--trace] | --seeds N [--from S]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1, count = 1;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--trace") {
      trace = true;
    } else if (i + 1 < argc && (arg == "--seed" || arg == "--from" || arg == "--seeds")) {
      (arg == "--seeds" ? count : seed) = std::strtoull(argv[++i], nullptr, 10);
    } else {
      return usage();
    }
  }
  int bad = 0;
  for (std::uint64_t s = seed; s < seed + count; ++s) {
    mobula::sim::World world({s, trace});
    world.run();
    for (const std::string& v : world.oracle().violations())
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(s), v.c_str());
    bad += !world.oracle().violations().empty();
    if (count == 1) {
      std::printf("seed %llu: digest %016llx, %llu events, %llu tasks\n", static_cast<unsigned long long>(s),
                  static_cast<unsigned long long>(world.digest()), static_cast<unsigned long long>(world.events()),
                  static_cast<unsigned long long>(world.oracle().tasks()));
    }
  }
  if (count > 1) std::printf("%llu seeds, %d bad\n", static_cast<unsigned long long>(count), bad);
  return bad == 0 ? 0 : 1;
}
