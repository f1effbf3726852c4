// run_clean PROGRAM ARGUMENT...: runs a program that starts processes in a temporary directory of its own
// (MOBULA_TMPDIR) and fails when, 5 s after its end, a process, file, socket or shared memory of it is left.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "tests/support/leak_check.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: run_clean PROGRAM ARGUMENT...\n");
    return 2;
  }
  const mobula::testing::LeakCheck leaks;
  const pid_t child = ::fork();
  if (child == 0) {
    ::execv(argv[1], argv + 1);
    std::perror(argv[1]);
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    std::perror("run_clean");
    return 1;
  }
  const auto left = leaks.leftovers(std::chrono::seconds(5));
  for (const auto& line : left) std::fprintf(stderr, "left behind: %s\n", line.c_str());
  if (WIFSIGNALED(status)) {
    std::fprintf(stderr, "%s: killed by signal %d\n", argv[1], WTERMSIG(status));
    return 1;
  }
  return WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : (left.empty() ? 0 : 1);
}
