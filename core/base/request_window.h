#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <set>

namespace mobula::base {

// Exactly-once requests over a network that loses, repeats and reorders, with bounded memory.
//
// The sender numbers its requests 1, 2, ... and repeats each until it is answered.  Each message also
// carries the sender's floor: all requests below it have been answered for good.  The receiver
// forgets what is below the floor, and a copy that comes later than that is known to be stale.
// At most `size` numbers lie between floor and the newest, which bounds both sides.
class RequestSender {
 public:
  explicit RequestSender(std::uint64_t size) : size_(size) { assert(size > 0); }

  bool has_room() const { return next_ - floor() < size_; }
  std::uint64_t issue() {  // REQUIRES: has_room().
    assert(has_room());
    open_.insert(next_);
    return next_++;
  }
  void answered(std::uint64_t seq) { open_.erase(seq); }
  std::uint64_t floor() const { return open_.empty() ? next_ : *open_.begin(); }

 private:
  const std::uint64_t size_;
  std::uint64_t next_ = 1;
  std::set<std::uint64_t> open_;
};

class RequestReceiver {
 public:
  enum class Fate : unsigned char {
    kNew,     // Never seen: do it.
    kSeen,    // Done or under way: answer again from what is known now.
    kStale,   // Answered long ago, the sender knows: ignore.
    kBeyond,  // Outside the window: the sender breaks the protocol; ignore.
  };

  explicit RequestReceiver(std::uint64_t size) : size_(size) {}

  Fate receive(std::uint64_t seq, std::uint64_t floor) {
    if (floor > floor_) {
      floor_ = floor;
      seen_.erase(seen_.begin(), seen_.lower_bound(floor_));
    }
    if (seq < floor_) return Fate::kStale;
    if (seq - floor_ >= size_) return Fate::kBeyond;
    return seen_.insert(seq).second ? Fate::kNew : Fate::kSeen;
  }
  std::size_t remembered() const { return seen_.size(); }  // At most size.
  std::uint64_t floor() const { return floor_; }
  const std::set<std::uint64_t>& seen() const { return seen_; }  // From floor() on.

 private:
  const std::uint64_t size_;
  std::uint64_t floor_ = 1;
  std::set<std::uint64_t> seen_;
};

}  // namespace mobula::base
