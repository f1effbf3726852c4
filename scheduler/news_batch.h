#pragma once

#include <cstddef>
#include <optional>

#include "core/base/machine.h"

namespace mobula::scheduler {

struct NewsCame {
  std::size_t readers = 0;  // Who will be told.
};
using NewsInput = NewsCame;
struct TellNews {};  // All that has come, to everybody.
using NewsOutput = TellNews;

struct NewsLimits {
  base::Duration pause = std::chrono::milliseconds(1);
  base::Duration pause_per_reader = std::chrono::microseconds(20);  // Several times what telling one costs.
};

// Decides when the GCS tells the nodes about each other.
//
// News after a pause go at once, those within it together at its end, and a pause grows with the number of readers. So
// a death is told without delay, while a start of N nodes, which takes the GCS a time that grows with N, costs each
// node a few messages whatever N is, instead of N.
class NewsBatch {
 public:
  using Input = NewsInput;
  using Output = NewsOutput;

  explicit NewsBatch(NewsLimits limits) : limits_(limits) {}

  void step(base::Time now, NewsInput input, base::Outbox<NewsOutput>& out);
  void tick(base::Time now, base::Outbox<NewsOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const { return !waiting_ || pause_until_.has_value(); }

 private:
  void tell(base::Time now, base::Outbox<NewsOutput>& out);

  const NewsLimits limits_;
  bool waiting_ = false;  // News that have not been told.
  std::size_t readers_ = 0;
  std::optional<base::Time> pause_until_;
};

}  // namespace mobula::scheduler
