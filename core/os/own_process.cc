#include "core/os/own_process.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "core/os/error.h"

namespace mobula::os {

std::vector<std::string> command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> out;
  for (std::string argument; std::getline(file, argument, '\0');) out.push_back(argument);
  return out;
}

base::Result<void> become_user(uid_t uid) {
  if (uid == ::geteuid() && uid == ::getuid()) return {};
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 16 * 1024> text{};
  (void)::getpwuid_r(uid, &entry, text.data(), text.size(), &found);
  if (found == nullptr) return base::Error{base::Code::kNotFound, "there is no user " + std::to_string(uid)};
  if (::initgroups(entry.pw_name, entry.pw_gid) != 0 || ::setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid) != 0 ||
      ::setresuid(uid, uid, uid) != 0) {
    return error_from_errno(errno, "becoming user " + std::to_string(uid));
  }
  return {};
}

struct sigaction keep_ended_children() {
  struct sigaction before {};
  ::sigaction(SIGCHLD, nullptr, &before);
  const bool lost = before.sa_handler == SIG_IGN || (before.sa_flags & SA_NOCLDWAIT) != 0;
  if (lost) ::signal(SIGCHLD, SIG_DFL);
  return before;
}

}  // namespace mobula::os
