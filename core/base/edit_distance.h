#pragma once

#include <cstddef>
#include <string_view>

namespace mobula::base {

// Levenshtein's: how many letters must be put in, taken out or changed to make one of the other.  For short words.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace mobula::base
