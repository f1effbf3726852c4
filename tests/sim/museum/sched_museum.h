#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "scheduler/mistake.h"

namespace mobula::sim {

// A mistake of scheduling that can be planted into the machines of this build, and a seed on which the world shows it.
struct SchedExhibit {
  scheduler::Mistake mistake;
  const char* name;
  std::uint64_t seed;  // Found by `./dev sim museum`.
};
std::span<const SchedExhibit> sched_exhibits();

// The first thing that is wrong on `seed` with `mistake` planted, seen from outside; empty: nothing.
std::string run_planted(scheduler::Mistake mistake, std::uint64_t seed);

}  // namespace mobula::sim
