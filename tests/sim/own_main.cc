// Replays one seed of the ownership simulation, or searches many:
//   sim_own --seed N [--trace]
//   sim_own --seeds N --from S
// or goes through all orders of small worlds:
//   sim_own --explore

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/own_explore.h"
#include "tests/sim/own_world.h"

namespace {

int usage() {
  std::fputs("usage: sim_own --seed N [--trace] | --seeds N [--from S] | --explore\n", stderr);
  return 2;
}

int explore() {
  using mobula::sim::OwnExplorer;
  const OwnExplorer::Budget budgets[] = {
      {.calls = 1, .puts = 1, .gets = 1, .deaths = 1, .copies = 1, .states = 10'000'000},
      {.calls = 2, .puts = 0, .gets = 0, .deaths = 1, .copies = 1, .states = 10'000'000},
      {.calls = 2, .puts = 1, .gets = 1, .deaths = 1, .copies = 0, .states = 10'000'000},
  };
  int bad = 0;
  for (const auto& b : budgets) {
    std::printf("%d calls, %d more objects, %d gets, %d deaths, %d copies: ", b.calls, b.puts, b.gets, b.deaths,
                b.copies);
    std::fflush(stdout);
    OwnExplorer explorer(b);
    const auto way = explorer.run();
    std::printf("%llu states, %s\n", static_cast<unsigned long long>(explorer.states()),
                !way.empty()         ? "WRONG"
                : explorer.gave_up() ? "not all of them"
                                     : "all right");
    for (const std::string& line : way) std::printf("  %s\n", line.c_str());
    bad += !way.empty();
  }
  return bad == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1, count = 1;
  bool trace = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--trace") {
      trace = true;
    } else if (arg == "--explore") {
      return explore();
    } else if (i + 1 < argc && (arg == "--seed" || arg == "--from" || arg == "--seeds")) {
      (arg == "--seeds" ? count : seed) = std::strtoull(argv[++i], nullptr, 10);
    } else {
      return usage();
    }
  }
  std::uint64_t bad = 0, events = 0, objects = 0, lost = 0, deaths = 0;
  for (std::uint64_t s = seed; s < seed + count; ++s) {
    mobula::sim::OwnWorld world({.seed = s, .trace = trace});
    world.run();
    mobula::sim::OwnWorld again({.seed = s});
    if (!trace) again.run();
    const bool repeats = trace || world.digest() == again.digest();
    for (const std::string& v : world.violations()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(s), v.c_str());
    }
    if (!repeats) std::printf("seed %llu does not repeat itself\n", static_cast<unsigned long long>(s));
    if (!world.violations().empty() || !repeats) {
      std::printf("replay it: ./dev sim ownership --seed %llu --trace\n", static_cast<unsigned long long>(s));
      ++bad;
    }
    events += world.events();
    objects += world.objects();
    lost += world.lost();
    deaths += world.deaths();
  }
  std::printf("%llu seeds from %llu, %llu bad; %llu events, %llu objects, %llu deaths, %llu messages lost\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(seed),
              static_cast<unsigned long long>(bad), static_cast<unsigned long long>(events),
              static_cast<unsigned long long>(objects), static_cast<unsigned long long>(deaths),
              static_cast<unsigned long long>(lost));
  return bad == 0 ? 0 : 1;
}
