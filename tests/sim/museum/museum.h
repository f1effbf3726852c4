#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "objstore/logic/mistake.h"

namespace mobula::sim {

// A mistake that can be planted into the machines of this build, and a seed on which the world shows it.
struct Exhibit {
  objstore::Mistake mistake;
  const char* name;
  std::uint64_t seed;  // Found by `./dev sim museum`.
};
std::span<const Exhibit> exhibits();

// The first thing that the world finds wrong on `seed` with this planted, asking no machine; empty: nothing.
std::string run_planted(objstore::Mistake mistake, std::uint64_t seed);

}  // namespace mobula::sim
