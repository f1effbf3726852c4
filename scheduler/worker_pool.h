#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "scheduler/actor_lease.h"

namespace mobula::scheduler {

// Asked of the node.  Each worker asked for ends in WorkerReady or counts in StartFailed.
struct StartWorkers {
  base::JobId job;
  std::uint32_t count = 0;
};
// Ends in WorkerGone.
struct StopWorker {
  base::WorkerId worker;
  StopMode mode = StopMode::kKill;
};

struct WorkerPoolLimits {
  std::uint32_t cores = 1;            // Workers kept idle, and started ahead for each job.
  std::uint32_t workers_max = 1'024;  // Processes, starting ones included: the headroom for nested waits.
  std::uint32_t starting_max = 16;    // At a time.
  base::Duration idle_timeout = std::chrono::seconds(2);    // Of workers beyond `cores`.
  base::Duration start_backoff = std::chrono::milliseconds(100);  // After a failed start, doubling
  base::Duration start_backoff_max = std::chrono::seconds(5);     // up to this.
};
enum class Prestart : unsigned char { kNo, kYes };

}  // namespace mobula::scheduler
