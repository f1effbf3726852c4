#pragma once

#include <nlohmann/json.hpp>

namespace mobula::bench {

// Processor, cores, memory, kernel, load: what figures depend on.
nlohmann::ordered_json describe_machine(int cores_used);
// Keeps this process and all that it starts on the first `count` CPUs that it may use; returns how many there are.
int use_cores(int count);

}  // namespace mobula::bench
