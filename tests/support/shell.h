#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace mobula::testing {

struct Outcome {
  int code = -1;    // 128 and the signal's number, if it was one.
  std::string out;  // With standard error in it.
};
Outcome shell(const std::string& command);

// Asks again until it is so, or the patience is over.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience = std::chrono::seconds(20));

}  // namespace mobula::testing
