#include "bench/suite/side_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

namespace mobula::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

[[noreturn]] void become(const SideCommand& command, const std::string& log, int in, int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  const int err = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (err >= 0) ::dup2(err, STDERR_FILENO);
  for (const auto& [name, value] : command.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

// True once the child has ended.
bool gone(pid_t pid, std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  for (;;) {
    if (::waitpid(pid, nullptr, WNOHANG) != 0) return true;
    if (Clock::now() > until) return false;
    const timespec pause{0, 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

SideProcess::SideProcess(const SideCommand& command, const std::string& log) : log_(log) {
  int to[2];
  int from[2];
  if (::pipe2(to, O_CLOEXEC) != 0 || ::pipe2(from, O_CLOEXEC) != 0) return;
  pid_ = ::fork();
  if (pid_ == 0) become(command, log, to[0], from[1]);
  ::close(to[0]);
  ::close(from[1]);
  to_ = to[1];
  from_ = from[0];
}

SideProcess::~SideProcess() {
  if (to_ >= 0) ::close(to_);
  if (pid_ > 0 && !gone(pid_, 10s)) {
    ::kill(pid_, SIGTERM);
    if (!gone(pid_, 2s)) {
      ::kill(pid_, SIGKILL);
      gone(pid_, 5s);
    }
  }
  if (from_ >= 0) ::close(from_);
}

Answer SideProcess::measure(const std::string& metric, bool quick) {
  Answer answer;
  const auto text = ask(metric + (quick ? " quick" : " full"), 90s, answer.why);
  if (text) answer.value = std::strtod(text->c_str(), nullptr);
  return answer;
}

std::string SideProcess::version() {
  std::string why;
  return ask("version", 60s, why).value_or("");
}

std::optional<std::string> SideProcess::ask(const std::string& request, std::chrono::seconds patience,
                                            std::string& why) {
  const std::string line = request + "\n";
  if (pid_ < 0 || ::write(to_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    why = "it has ended: " + last_words();
    return std::nullopt;
  }
  const auto answer = read_line(patience, why);
  if (!answer) return std::nullopt;
  if (answer->starts_with("ok ")) return answer->substr(3);
  why = answer->starts_with("no ") ? answer->substr(3) : *answer;
  return std::nullopt;
}

std::optional<std::string> SideProcess::read_line(std::chrono::seconds patience, std::string& why) {
  const auto until = Clock::now() + patience;
  for (;;) {
    if (const auto end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    pollfd waiting{from_, POLLIN, 0};
    if (left <= 0ms || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      why = "no answer within " + std::to_string(patience.count()) + " s";
      ::kill(pid_, SIGKILL);  // What it still does would disturb the others.
      return std::nullopt;
    }
    char buffer[256];
    const ssize_t n = ::read(from_, buffer, sizeof buffer);
    if (n <= 0) {
      why = "it has ended: " + last_words();
      return std::nullopt;
    }
    received_.append(buffer, static_cast<std::size_t>(n));
  }
}

std::string SideProcess::last_words() const {
  std::ifstream log(log_);
  std::string last;
  for (std::string line; std::getline(log, line);) {
    if (line.find_first_not_of(" \t\r-") != std::string::npos) last = line;
  }
  return last.empty() ? "without a word" : last;
}

}  // namespace mobula::bench
