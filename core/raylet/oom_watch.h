#pragma once

#include <cstdint>
#include <string>

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

 private:
  const std::string root_;
  std::uint64_t known_ = 0;
};

}  // namespace mobula::raylet
