// Plants each known mistake in turn and looks for a seed that shows it:
//   sim_museum [--seeds N] [--only NAME]

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/sim/museum/museum.h"

using namespace mobula;

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
    std::string found;
    std::uint64_t seed = 0;
    while (found.empty() && seed < seeds) found = sim::run_planted(e, e.mistake, ++seed);
    if (found.empty()) {
      std::printf("%-28s NOT FOUND in %llu seeds\n", e.name, static_cast<unsigned long long>(seeds));
      ++missed;
    } else {
      std::printf("%-28s seed %4llu: %s\n", e.name, static_cast<unsigned long long>(seed),
                  found.substr(0, found.find('\n')).c_str());
    }
    std::fflush(stdout);
  }
  return missed == 0 ? 0 : 1;
}
