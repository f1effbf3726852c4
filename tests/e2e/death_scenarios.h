#pragma once

#include <string>

namespace mobula::testing {

// What a driver does that is about to be killed, or whose cluster is.  Called within a session; returns the exit code.
int play(const std::string& scenario);

}  // namespace mobula::testing
