#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "core/base/machine.h"
#include "core/base/proto/control.pb.h"
#include "core/os/process.h"

namespace mobula::raylet {

// Tells deaths by the kernel's OOM killer from other kills: by the count that the kernel keeps for our control group.
// Belongs to the raylet's loop.
class OomWatch {
 public:
  explicit OomWatch(std::string root = {});  // As in os::read_oom_kills.

  // Of a worker that SIGKILL has ended though nobody here sent it.  When the kernel has killed more than was known, one
  // of these kills is taken to be this: the cause becomes OUT_OF_MEMORY, with numbers.
  void explain(os::ExitStatus status, proto::ExitCause& cause);
  // From time to time: what was counted before the last look was somebody else, or its death would have been told.
  void look();
  static constexpr base::Duration kLookEvery = std::chrono::seconds(2);

 private:
  const std::string root_;
  std::uint64_t known_ = 0;  // Explained, or nobody's of ours.
  std::uint64_t seen_ = 0;   // At the last look.
};

}  // namespace mobula::raylet
