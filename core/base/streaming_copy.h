#pragma once

#include <cstddef>

namespace mobula::base {

// Copies like memcpy, but writes past the caches: lines that are overwritten whole are not read first, which saves a
// third of the traffic, and what the caches hold stays there.  For megabytes that nobody reads at once.
// What is written is visible to whoever sees a later store of this thread.
void copy_past_caches(std::byte* to, const std::byte* from, std::size_t bytes);

}  // namespace mobula::base
