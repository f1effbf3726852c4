#include "slurm/mpi_keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <vector>

#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/os/process.h"
#include "slurm/mpi_command.h"

namespace mobula::slurm {
namespace {

constexpr auto kTermTime = std::chrono::seconds(5);  // Open MPI gives its ranks one second.
constexpr auto kKillTime = std::chrono::seconds(5);
constexpr int kSignalBase = 128;

std::vector<std::string> own_command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> out;
  for (std::string word; std::getline(file, word, '\0');) out.push_back(word);
  return out;
}

// This process has one thread.
std::vector<pid_t> children() {
  std::ifstream file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  std::vector<pid_t> out;
  for (pid_t pid = 0; file >> pid;) out.push_back(pid);
  return out;
}

// Those below become children as their parents end.
void kill_all_below() {
  const base::Time until = os::now() + kKillTime;
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    const auto left = children();
    if (left.empty() || os::now() >= until) return;
    for (const pid_t pid : left) ::kill(pid, SIGKILL);
    ::poll(nullptr, 0, 1);
  }
}

int code_of(const os::ExitStatus& status) { return status.signaled ? kSignalBase + status.code : status.code; }

}  // namespace

int keep_mpi(const std::string& path) {
  os::set_process_name("mobula-mpi");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  // Slurm and terminals tell every process; the launcher acts on it, and we end with it.
  sigset_t told;
  sigemptyset(&told);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU}) sigaddset(&told, number);
  ::pthread_sigmask(SIG_BLOCK, &told, nullptr);

  const os::Fd owner(kMpiOwnerFd);
  os::SpawnOptions launcher;
  launcher.path = path;
  launcher.argv = own_command_line();
  launcher.env = os::environment();
  launcher.fds = {{kMpiHostFileFd, kMpiHostFileFd}};
  const auto pid = os::spawn(launcher);
  if (!pid) {
    std::fprintf(stderr, "mobula: %s\n", pid.error().what.c_str());
    return 127;
  }
  const os::Fd pidfd = os::open_pidfd(*pid);
  std::optional<base::Time> kill_at;
  for (;;) {
    std::array<pollfd, 2> polled{{{pidfd.get(), POLLIN, 0}, {kill_at ? -1 : owner.get(), POLLIN, 0}}};
    const int wait_ms = kill_at ? static_cast<int>(std::max<std::int64_t>(
                                      10, std::chrono::ceil<std::chrono::milliseconds>(*kill_at - os::now()).count()))
                                : -1;
    if (::poll(polled.data(), polled.size(), wait_ms) < 0 && errno != EINTR) break;
    if (polled[0].revents != 0) break;
    if (!kill_at && polled[1].revents != 0) {
      ::kill(*pid, SIGTERM);
      kill_at = os::now() + kTermTime;
    }
    if (kill_at && os::now() >= *kill_at) ::kill(-*pid, SIGKILL);
  }
  const os::ExitStatus status = os::wait_for(*pid);
  kill_all_below();
  return code_of(status);
}

}  // namespace mobula::slurm
