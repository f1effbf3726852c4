#pragma once

#include <map>
#include <string>

namespace mobula::testing {

// What a driver does whose end is the test: as play() of death_scenarios.h.
const std::map<std::string, int (*)()>& end_scenarios();

}  // namespace mobula::testing
