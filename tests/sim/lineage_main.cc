// Replays one seed of the simulation of lineage, or searches many:
//   sim_lineage --seed N [--trace]
//   sim_lineage --seeds N --from S

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/lineage_world.h"

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
      std::fputs("usage: sim_lineage --seed N [--trace] | --seeds N [--from S]\n", stderr);
      return 2;
    }
  }
  std::uint64_t bad = 0, events = 0, deaths = 0, reruns = 0, errors = 0;
  for (std::uint64_t s = seed; s < seed + count; ++s) {
    mobula::sim::LineageWorld world({.seed = s, .trace = trace});
    world.run();
    mobula::sim::LineageWorld again({.seed = s});
    if (!trace) again.run();
    const bool repeats = trace || world.digest() == again.digest();
    for (const std::string& v : world.violations()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(s), v.c_str());
    }
    if (!repeats) std::printf("seed %llu does not repeat itself\n", static_cast<unsigned long long>(s));
    if (!world.violations().empty() || !repeats) {
      std::printf("replay it: ./dev sim lineage --seed %llu --trace\n", static_cast<unsigned long long>(s));
      ++bad;
    }
    events += world.events();
    deaths += world.deaths();
    reruns += world.reruns();
    errors += world.errors();
  }
  std::printf("%llu seeds from %llu, %llu bad; %llu events, %llu deaths, %llu tasks run again, %llu errors\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(bad), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(deaths), static_cast<unsigned long long>(reruns),
              static_cast<unsigned long long>(errors));
  return bad == 0 ? 0 : 1;
}
