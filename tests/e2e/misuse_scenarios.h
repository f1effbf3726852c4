#pragma once

#include <string>

namespace mobula::testing {

// What a program does that uses the library as it should not, or in surroundings that it did not expect.  It calls
// init() itself; returns the exit code.
int misuse(const std::string& scenario, int argc, char** argv);

}  // namespace mobula::testing
