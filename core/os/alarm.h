#pragma once

#include <optional>

#include "core/base/machine.h"
#include "core/os/fd.h"

namespace mobula::os {

// A descriptor that becomes readable at a time: lets a sleeper who waits on somebody else's epoll set notice
// this loop's timers.
class Alarm {
 public:
  Alarm();

  int fd() const { return timer_.get(); }
  // Readable from `when` on; nullopt: never.  Costs nothing when that is what it is set to already.
  void set(std::optional<base::Time> when);

 private:
  Fd timer_;
  std::optional<base::Time> when_;
};

}  // namespace mobula::os
