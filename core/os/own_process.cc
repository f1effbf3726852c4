#include "core/os/own_process.h"

#include <fstream>

namespace mobula::os {

std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> out;
  for (std::string argument; std::getline(file, argument, '\0');) out.push_back(argument);
  return out;
}

struct sigaction keep_ended_children() {
  struct sigaction before {};
  ::sigaction(SIGCHLD, nullptr, &before);
  const bool lost = before.sa_handler == SIG_IGN || (before.sa_flags & SA_NOCLDWAIT) != 0;
  if (lost) ::signal(SIGCHLD, SIG_DFL);
  return before;
}

}  // namespace mobula::os
