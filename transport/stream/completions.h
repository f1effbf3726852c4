#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "transport/transport.h"

namespace mobula::transport::stream {

// Operations that have ended, until progress() tells their owners.
class Completions {
 public:
  void add(Completion& completion, Result<std::size_t> result) { ended_.emplace_back(&completion, std::move(result)); }
  bool empty() const { return ended_.empty(); }

  // Tells those that have ended by now.  What they start may end in the next round only, so that no
  // chain of completions keeps the caller for ever.
  std::size_t run() {
    running_.swap(ended_);
    const std::size_t n = running_.size();
    for (auto& [completion, result] : running_) completion->done(std::move(result));
    running_.clear();
    return n;
  }

 private:
  std::vector<std::pair<Completion*, Result<std::size_t>>> ended_;
  std::vector<std::pair<Completion*, Result<std::size_t>>> running_;
};

}  // namespace mobula::transport::stream
