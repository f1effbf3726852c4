// Plants each known mistake in turn and looks for a seed that shows it:
//   sim_museum [--seeds N] [--only NAME]

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/museum/museum.h"
#include "tests/sim/museum/sched_museum.h"

using namespace mobula;

namespace {

// Runs seeds 1, 2, ... until one shows it; true when one did.
template <class Run>
bool search(const char* name, std::uint64_t seeds, const Run& run) {
  std::string found;
  std::uint64_t seed = 0;
  while (found.empty() && seed < seeds) found = run(++seed);
  if (found.empty()) {
    std::printf("%-28s NOT FOUND in %llu seeds\n", name, static_cast<unsigned long long>(seeds));
  } else {
    std::printf("%-28s seed %4llu: %s\n", name, static_cast<unsigned long long>(seed),
                found.substr(0, found.find('\n')).c_str());
  }
  std::fflush(stdout);
  return !found.empty();
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 2000;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string arg = argv[i];
    if (arg == "--seeds") seeds = std::strtoull(argv[i + 1], nullptr, 10);
    if (arg == "--only") only = argv[i + 1];
  }
  int missed = 0;
  for (const sim::Exhibit& e : sim::exhibits()) {
    if (!only.empty() && only != e.name) continue;
    missed += !search(e.name, seeds, [&e](std::uint64_t seed) { return sim::run_planted(e, e.mistake, seed); });
  }
  for (const sim::SchedExhibit& e : sim::sched_exhibits()) {
    if (!only.empty() && only != e.name) continue;
    missed += !search(e.name, seeds, [&e](std::uint64_t seed) { return sim::run_planted(e.mistake, seed); });
  }
  return missed == 0 ? 0 : 1;
}
