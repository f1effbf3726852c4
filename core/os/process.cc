#include "core/os/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mobula::os {
namespace {

ExitStatus from_wait_status(int status, const rusage& usage) {
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status), usage.ru_maxrss};
  return {false, WEXITSTATUS(status), usage.ru_maxrss};
}

// What waitpid says about a child that is not ours or was reaped by somebody else (SIGCHLD ignored).
constexpr ExitStatus kUnknownStatus{false, -1, 0};

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
  rusage usage{};
  pid_t got;
  do {
    got = ::wait4(pid, &status, WNOHANG, &usage);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  return got == pid ? from_wait_status(status, usage) : kUnknownStatus;
}

ExitStatus wait_for(pid_t pid) {
  int status = 0;
  rusage usage{};
  pid_t got;
  do {
    got = ::wait4(pid, &status, 0, &usage);
  } while (got < 0 && errno == EINTR);
  return got == pid ? from_wait_status(status, usage) : kUnknownStatus;
}

bool process_exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

void offer_to_oom_killer() {
  const Fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (file.valid()) [[maybe_unused]]
    const auto n = ::write(file.get(), "1000", 4);
}

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
