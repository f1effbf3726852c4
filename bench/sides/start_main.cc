// bench_start PROGRAM: how long a program takes from its exec to its first line, as a terminal shows it.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "bench/sides/serve.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

// The master end of a terminal whose other end programs get as stdout, so that they write line by line.
class Terminal {
 public:
  Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (master_ < 0 || ::grantpt(master_) != 0 || ::unlockpt(master_) != 0) throw CannotMeasure("no pseudo-terminal");
    slave_ = ::open(::ptsname(master_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave_ < 0) throw CannotMeasure("no pseudo-terminal");
  }
  ~Terminal() {
    ::close(slave_);
    ::close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int slave() const { return slave_; }
  std::string line() const {
    std::string text;
    for (char c = 0; ::read(master_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }

 private:
  int master_;
  int slave_ = -1;
};

double first_line_ms(const std::vector<const char*>& command, const char* nodes, const std::string& wanted) {
  const Terminal terminal;
  const auto start = Clock::now();
  const pid_t child = ::fork();  // This process is small.
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(terminal.slave(), STDOUT_FILENO);
    if (nodes != nullptr) ::setenv("MOBULA_NODES", nodes, 1);
    std::vector<char*> argv;
    for (const char* word : command) argv.push_back(const_cast<char*>(word));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    const char sorry[] = "cannot be started\n";
    ::_exit(::write(STDOUT_FILENO, sorry, sizeof sorry - 1) > 0 ? 126 : 127);
  }
  const std::string line = child > 0 ? terminal.line() : "";
  const double ms = seconds_since(start) * 1e3;
  ::waitpid(child, nullptr, 0);
  if (!line.starts_with(wanted)) throw CannotMeasure(std::string(command.front()) + " printed \"" + line + "\"");
  return ms;
}

double median_first_line_ms(int count, const std::vector<const char*>& command, const char* nodes, const char* wanted) {
  std::vector<double> ms;
  for (int i = 0; i < count; ++i) ms.push_back(first_line_ms(command, nodes, wanted));
  return median(std::move(ms));
}

}  // namespace
}  // namespace mobula::bench

int main(int argc, char** argv) {
  using namespace mobula::bench;
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_start FIRST_LINE PROGRAM [ARGUMENTS]\n");
    return 2;
  }
  const char* wanted = argv[1];
  const std::vector<const char*> command(argv + 2, argv + argc);
  Side side;
  side.add("first_task_ms", [&](Effort e) { return median_first_line_ms(e.of(8), command, nullptr, wanted); });
  side.add("first_task_4_nodes_ms", [&](Effort e) { return median_first_line_ms(e.of(4), command, "4", wanted); });
  side.serve();
  return 0;
}
