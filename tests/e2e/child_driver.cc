#include "tests/e2e/child_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace mobula::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::chrono::milliseconds left(Clock::time_point until) {
  return std::max(std::chrono::milliseconds(0),
                  std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()));
}

// False at the end, and when there is nothing in time.
bool read_more(int fd, std::string& read, std::chrono::milliseconds patience) {
  pollfd p{fd, POLLIN, 0};
  if (::poll(&p, 1, static_cast<int>(patience.count())) <= 0) return false;
  char buffer[4096];
  const ssize_t n = ::read(fd, buffer, sizeof buffer);
  if (n <= 0) return false;
  read.append(buffer, static_cast<std::size_t>(n));
  return true;
}

}  // namespace

ChildDriver::ChildDriver(const std::string& scenario, std::vector<std::string> environment,
                         const std::function<void()>& prepare, Output output) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  const std::string argument = "--scenario=" + scenario;
  pid_ = ::fork();
  if (pid_ == 0) {
    if (output == Output::kRead) {
      ::dup2(ends[1], 1);
      ::dup2(ends[1], 2);
    }
    for (std::string& variable : environment) ::putenv(variable.data());
    if (prepare != nullptr) prepare();
    ::execl("/proc/self/exe", "driver", argument.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  out_ = ends[0];
}

ChildDriver::~ChildDriver() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(out_);
}

bool ChildDriver::read_some(std::chrono::milliseconds patience) { return read_more(out_, output_, patience); }

bool ChildDriver::wait_for(const std::string& text, std::chrono::milliseconds patience) {
  return read_until(out_, output_, text, patience);
}

bool read_until(int fd, std::string& read, const std::string& text, std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  while (read.find(text) == std::string::npos) {
    if (!read_more(fd, read, left(until))) return false;
  }
  return true;
}

int ChildDriver::wait_exit(std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  for (;;) {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      while (read_some(std::chrono::milliseconds(0))) {
      }
      return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (Clock::now() >= until) return -1;
    if (!read_some(std::chrono::milliseconds(5))) ::usleep(1000);
  }
}

std::function<void()> limit_descriptors(int most) {
  return [n = static_cast<rlim_t>(most)] {
    const rlimit limit{n, n};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  };
}

std::function<void()> limit_addresses(std::size_t most) {
  return [n = static_cast<rlim_t>(most)] {
    const rlimit limit{n, n};
    ::setrlimit(RLIMIT_AS, &limit);
  };
}

std::vector<pid_t> with_role(const std::vector<pid_t>& pids, const std::string& role) {
  std::vector<pid_t> out;
  for (const pid_t pid : pids) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
    std::string environment{std::istreambuf_iterator<char>(file), {}};
    environment.insert(environment.begin(), '\0');
    environment.push_back('\0');
    const std::string wanted = std::string(1, '\0') + "MOBULA_ROLE=" + role + '\0';
    if (environment.find(wanted) != std::string::npos) out.push_back(pid);
  }
  return out;
}

}  // namespace mobula::testing
