#include "core/os/process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mobula::os {
namespace {

ExitStatus from_wait_status(int status) {
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status)};
  return {false, WEXITSTATUS(status)};
}

// What waitpid says about a child that is not ours or was reaped by somebody else (SIGCHLD ignored).
constexpr ExitStatus kUnknownStatus{false, -1};

}  // namespace

std::string ExitStatus::to_string() const {
  if (!signaled) return code < 0 ? "unknown exit status" : "exit code " + std::to_string(code);
  std::string out = "signal " + std::to_string(code);
  if (const char* name = ::sigabbrev_np(code)) out.append(" (SIG").append(name).append(")");
  return out;
}

Fd open_pidfd(pid_t pid) { return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

std::optional<ExitStatus> reap(pid_t pid) {
  int status = 0;
  pid_t got;
  do {
    got = ::waitpid(pid, &status, WNOHANG);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  return got == pid ? from_wait_status(status) : kUnknownStatus;
}

ExitStatus wait_for(pid_t pid) {
  int status = 0;
  pid_t got;
  do {
    got = ::waitpid(pid, &status, 0);
  } while (got < 0 && errno == EINTR);
  return got == pid ? from_wait_status(status) : kUnknownStatus;
}

bool process_exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

void die_with_parent(pid_t expected_parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have died before the line above; then nobody will ever send the signal.
  if (::getppid() != expected_parent) ::_exit(1);
}

std::string self_exe() {
  std::array<char, 4096> path;
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size());
  return n > 0 ? std::string(path.data(), static_cast<std::size_t>(n)) : std::string();
}

std::vector<std::string> environment() {
  std::vector<std::string> out;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) out.emplace_back(*at);
  return out;
}

void set_process_name(const std::string& name) { ::prctl(PR_SET_NAME, name.substr(0, 15).c_str()); }

}  // namespace mobula::os
