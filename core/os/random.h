#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/ids.h"

namespace mobula::os {

// From getrandom(2): never fails, never repeats across fork.
void fill_random(void* out, std::size_t size);

template <class Id>
Id random_id() {
  Id id;
  fill_random(id.words.data(), 24);
  return id;
}

}  // namespace mobula::os
