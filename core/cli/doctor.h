#pragma once

#include <string>
#include <vector>

#include "core/cli/commands.h"

namespace mobula::cli {

// One finding about this machine: what it is, how it bears on the runtime, and what to do when it is not good.
struct Finding {
  enum class Verdict { kOk, kWarn, kFail };
  std::string subject;
  Verdict verdict = Verdict::kOk;
  std::string text;    // With numbers.
  std::string remedy;  // Of kWarn and kFail.
};

// Looks and changes nothing, but for a memory file and a socket of its own that are gone when it returns.
std::vector<Finding> examine();

// Prints them; 1 when one is kFail.
int report(const std::vector<Finding>& findings, Format format);

}  // namespace mobula::cli
