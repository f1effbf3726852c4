#pragma once

#include <string>
#include <vector>

#include "bench/suite/measure.h"

namespace mobula::bench {

// The rows as an SVG: a line each, its sides as dots on a logarithmic scale of how many times slower than the floor
// they are (where there is no floor: than Mobula).
std::string picture(const std::vector<MeasuredRow>& rows, const std::string& caption);

}  // namespace mobula::bench
