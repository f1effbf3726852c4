#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/sides/floor.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

// Two processes that sleep in read() on an eventfd each.
class EventFdPair {
 public:
  EventFdPair() : there_(::eventfd(0, EFD_CLOEXEC)), back_(::eventfd(0, EFD_CLOEXEC)), child_(::fork()) {
    if (child_ < 0) throw CannotMeasure("fork failed");
    if (child_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      take(there_);
      give(back_);
    }
  }
  ~EventFdPair() {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  EventFdPair(const EventFdPair&) = delete;
  EventFdPair& operator=(const EventFdPair&) = delete;

  double round_trip_us(int count) {
    std::vector<double> us;
    for (int i = 0; i < count; ++i) {
      const timespec pause{0, 300'000};
      ::nanosleep(&pause, nullptr);
      const auto start = Clock::now();
      give(there_);
      take(back_);
      us.push_back(seconds_since(start) * 1e6);
    }
    return median(std::move(us));
  }

 private:
  static void give(int fd) {
    const std::uint64_t one = 1;
    if (::write(fd, &one, sizeof one) < 0) ::_exit(1);
  }
  static void take(int fd) {
    std::uint64_t got = 0;
    if (::read(fd, &got, sizeof got) < 0) ::_exit(1);
  }

  int there_;
  int back_;
  pid_t child_;
};

// Small processes, each of which says that it runs and then ends.
double forks_per_s(int count) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) throw CannotMeasure("no pipe");
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const bool said = ::write(pipe_ends[1], "x", 1) == 1;
      ::_exit(said ? 0 : 1);
    }
    char byte = 0;
    if (child < 0 || ::read(pipe_ends[0], &byte, 1) != 1) throw CannotMeasure("fork failed");
  }
  const double seconds = seconds_since(start);
  for (int i = 0; i < count; ++i) ::waitpid(-1, nullptr, 0);
  for (const int fd : pipe_ends) ::close(fd);
  return count / seconds;
}

}  // namespace

void add_process_floors(Side& side) {
  side.add("actor_create_per_s", [](Effort e) { return forks_per_s(e.of(200)); });
  side.add("actor_call_sleeping_us", [](Effort e) { return EventFdPair().round_trip_us(e.of(150)); });
}

}  // namespace mobula::bench
