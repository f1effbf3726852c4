#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "transport/stream/completions.h"
#include "transport/stream/wire.h"

namespace mobula::transport::stream {

// The one-sided operations of one kind that this side has asked for and that have not ended.  At most
// kTransfersMax are at the peer; the others wait here.
class Transfers {
 public:
  struct Transfer {
    Completion* completion = nullptr;
    Bytes local;
    std::uint64_t local_region = 0;
    Access access{};
    std::size_t done = 0;
  };

  void add(const Transfer& transfer) {
    transfers_.emplace(next_id_, transfer);
    waiting_.push_back(next_id_++);
  }

  // The id of the next one that may be asked of the peer now.
  std::optional<std::uint64_t> issue() {
    if (waiting_.empty() || issued() >= kTransfersMax) return std::nullopt;
    const std::uint64_t id = waiting_.front();
    waiting_.pop_front();
    return id;
  }

  // One that the peer was asked for; null when it has ended or never was.
  Transfer* find(std::uint64_t id) {
    const auto it = transfers_.find(id);
    const bool asked = it != transfers_.end() && (waiting_.empty() || id < waiting_.front());
    return asked ? &it->second : nullptr;
  }

  void end(std::uint64_t id, Result<std::size_t> result, Completions& completions) {
    const auto it = transfers_.find(id);
    completions.add(*it->second.completion, std::move(result));
    transfers_.erase(it);
  }

  void fail(const base::Error& why, Completions& completions) {
    for (auto& [id, transfer] : transfers_) completions.add(*transfer.completion, why);
    transfers_.clear();
    waiting_.clear();
  }

 private:
  std::size_t issued() const { return transfers_.size() - waiting_.size(); }

  std::unordered_map<std::uint64_t, Transfer> transfers_;
  std::deque<std::uint64_t> waiting_;  // Ids in ascending order.
  std::uint64_t next_id_ = 1;
};

}  // namespace mobula::transport::stream
