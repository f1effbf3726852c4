#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "core/base/machine.h"

namespace mobula::runtime {

class Submitter;

// When the cluster's time is over.  The end is a point of the wall clock, which all nodes share; decisions need one of
// the monotonic clock, which is worked out anew with each word from the raylet.
class TimeLeft final {
 public:
  explicit TimeLeft(Submitter& submitter) : submitter_(submitter) {}

  void set_end(std::int64_t end_unix_ms);      // 0: not known.  Under the engine's lock.
  std::optional<base::Duration> left() const;  // Any thread; not below zero.

 private:
  Submitter& submitter_;
  std::atomic<std::int64_t> end_unix_ms_{0};
};

}  // namespace mobula::runtime
