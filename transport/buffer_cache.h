#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace mobula::transport {

// Memory for messages.  Large pieces are kept for the next one: fresh pages cost more than the copy into them.
class BufferCache {
 public:
  static constexpr std::size_t kLargeBytes = 64u << 10;
  static constexpr std::size_t kKeptBytesMax = 32u << 20;

  struct Piece {
    std::unique_ptr<std::byte[]> memory;  // Uninitialised; nullptr when there is none to be had.
    std::size_t capacity = 0;
  };

  Piece take(std::size_t size) {
    if (size < kLargeBytes) return allocate(size);
    const std::size_t capacity = std::bit_ceil(size);
    auto& kept = kept_[index_of(capacity)];
    if (kept.empty()) return allocate(capacity);
    Piece piece{std::move(kept.back()), capacity};
    kept.pop_back();
    kept_bytes_ -= capacity;
    return piece;
  }

  void give_back(Piece piece) {
    if (piece.capacity < kLargeBytes || kept_bytes_ + piece.capacity > kKeptBytesMax) return;
    kept_bytes_ += piece.capacity;
    kept_[index_of(piece.capacity)].push_back(std::move(piece.memory));
  }

 private:
  static Piece allocate(std::size_t size) {
    return {std::unique_ptr<std::byte[]>(new (std::nothrow) std::byte[size]), size};
  }
  static std::size_t index_of(std::size_t power_of_two) {
    return static_cast<std::size_t>(std::countr_zero(power_of_two));
  }

  std::array<std::vector<std::unique_ptr<std::byte[]>>, 64> kept_;
  std::size_t kept_bytes_ = 0;
};

}  // namespace mobula::transport
