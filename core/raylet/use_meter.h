#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/resources.h"

namespace mobula::raylet {

// What workers really use against what was asked for, by what runs in them: functions and actors' classes.
// Belongs to the raylet's loop.
class UseMeter {
 public:
  struct Worker {
    pid_t pid = 0;
    std::string what;       // Empty: nothing, it is idle.
    base::Resources asked;  // Of its lease.
  };
  struct Use {
    double seconds = 0;             // Of workers that were seen with it.
    double asked_cpu_s = 0;         // CPUs asked for, times seconds.
    double used_cpu_s = 0;          // CPU time.
    std::uint64_t asked_bytes = 0;  // Of the newest.
    std::uint64_t most_bytes = 0;   // PSS of one worker.
  };

  // Looks at all of them.  Some milliseconds for a hundred workers: memory is read of a few each time, in turn.
  void look(base::Time now, const std::vector<Worker>& workers);

  const std::map<std::string, Use>& uses() const { return uses_; }
  double cpus_now() const { return cpus_now_; }  // That were kept busy between the last two looks.
  std::uint64_t bytes_now() const;               // Of all workers of the last look, as last read.

 private:
  static constexpr std::size_t kKindsMax = 1'000;  // Further ones are not told apart from each other.
  static constexpr std::size_t kMemoryReadsPerLook = 8;
  struct Known {
    std::chrono::nanoseconds cpu_time{0};
    base::Time at{};
    std::uint64_t bytes = 0;
  };
  std::map<pid_t, Known> known_;
  std::map<std::string, Use> uses_;
  double cpus_now_ = 0;
  pid_t read_after_ = 0;  // The last whose memory was read.
};

}  // namespace mobula::raylet
