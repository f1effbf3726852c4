#pragma once

#include <cstddef>
#include <vector>

#include "bench/transport/bench_pair.h"

namespace mobula::bench {

// Something that carries messages between the two processes of a pair.  Both sides call the same method with the
// same arguments at the same time; samples come back on the leader's side only.
class Measured {
 public:
  virtual ~Measured() = default;
  // Round trips of `bytes`, both sides spinning; microseconds each.
  virtual std::vector<double> round_trips(int count, std::size_t bytes) = 0;
};

class MeasuredSleep {
 public:
  virtual ~MeasuredSleep() = default;
  // Round trips with both sides asleep before each; microseconds each.
  virtual std::vector<double> sleeping_round_trips(int count, std::size_t bytes) = 0;
};

class MeasuredStream {
 public:
  virtual ~MeasuredStream() = default;
  // Microseconds for `count` messages one way, until the last has been acknowledged.
  virtual double stream(int count, std::size_t bytes) = 0;
};

}  // namespace mobula::bench
