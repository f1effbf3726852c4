#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mobula::slurm {

// The environment of a process, as a value: what decides from it never asks the process itself.
using Environment = std::map<std::string, std::string, std::less<>>;

// From "NAME=value" entries; of a repeated name the first counts, as for getenv().
Environment to_environment(const std::vector<std::string>& entries);

// The value, or "" when there is none.
std::string_view value_of(const Environment& environment, std::string_view name);

}  // namespace mobula::slurm
