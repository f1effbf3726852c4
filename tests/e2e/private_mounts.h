#pragma once

#include <functional>
#include <string>

namespace mobula::testing {

// For ChildDriver: what its processes, and no others, find at a path.
enum class Tmpfs { kFull, kNoFileMore, kReadOnly, kSmall };  // kSmall: 2 MiB, empty.
std::function<void()> mounted(const std::string& path, Tmpfs kind);

}  // namespace mobula::testing
