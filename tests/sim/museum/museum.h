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

// The first thing that the exhibit's world finds wrong on `seed` with `mistake` planted, asking no machine; empty:
// nothing.
std::string run_planted(const Exhibit& exhibit, objstore::Mistake mistake, std::uint64_t seed);

}  // namespace mobula::sim
