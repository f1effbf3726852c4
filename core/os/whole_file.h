#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace mobula::os {

// Files that are written and read as a whole.

// Whoever looks at `path` sees what was there or all of the new bytes, even after a loss of power: written beside it,
// flushed, renamed.
base::Result<void> write_whole_file(const std::string& path, base::ConstBytes bytes);
// kNotFound when there is none, kInvalid when it is longer than `bytes_max`.
base::Result<std::vector<std::byte>> read_whole_file(const std::string& path, std::size_t bytes_max);
// The directory and those above it, for this user alone.
base::Result<void> make_directories(const std::string& path);
// Names in it, sorted; none when it cannot be read.
std::vector<std::string> list_directory(const std::string& path);

}  // namespace mobula::os
