#include "core/os/process_identity.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace mobula::os {

std::string process_identity(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const std::size_t name_end = stat.rfind(')');  // The name before it may hold anything.
  if (name_end == std::string::npos) return {};
  constexpr int kStartTime = 20;  // proc(5) counts it as 22; the number and the name are behind us.
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  if (stat.compare(name_end + 1, 2, " Z") == 0) return {};
  for (int i = 0; i < kStartTime; ++i) fields >> field;
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  return fields ? boot + "/" + field : std::string();
}

}  // namespace mobula::os
