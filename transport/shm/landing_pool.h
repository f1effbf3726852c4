#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace mobula::transport::shm {

// A buffer for a message: where its pieces are put together, or where it waits for room in the ring.
struct Landing {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity = 0;
};

// Keeps buffers that have been used, since touching fresh pages costs three times the copy into them.
class LandingPool {
 public:
  static constexpr std::size_t kKeptBytesMax = 64u << 20;
  static constexpr std::size_t kKeptBytesMin = 4u << 10;  // The allocator is as good for less.

  Landing take(std::size_t bytes) {
    if (bytes < kKeptBytesMin) return {std::unique_ptr<std::byte[]>(new std::byte[bytes]), bytes};
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->capacity < bytes || it->capacity / 4 > bytes) continue;
      Landing found = std::move(*it);
      kept_ -= found.capacity;
      free_.erase(it);
      return found;
    }
    return {std::unique_ptr<std::byte[]>(new std::byte[bytes]), bytes};
  }
  void give(Landing landing) {
    if (landing.capacity < kKeptBytesMin || kept_ + landing.capacity > kKeptBytesMax) return;
    kept_ += landing.capacity;
    free_.push_back(std::move(landing));
  }
  std::size_t kept_bytes() const { return kept_; }
  void clear() {
    free_.clear();
    kept_ = 0;
  }

 private:
  std::vector<Landing> free_;
  std::size_t kept_ = 0;  // Sum of capacities over free_; at most kKeptBytesMax.
};

}  // namespace mobula::transport::shm
