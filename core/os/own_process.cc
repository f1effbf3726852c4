#include "core/os/own_process.h"

#include <fstream>

namespace mobula::os {

std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> out;
  for (std::string argument; std::getline(file, argument, '\0');) out.push_back(argument);
  return out;
}

}  // namespace mobula::os
