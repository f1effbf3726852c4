#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace mobula::collective {

// How a rank reads memory of the other ranks that is no block of a board: where it lies, that all map, in place; else
// by copying it through the kernel, where that is allowed.  All calls on the thread that is in the board's call.
class Reach {
 public:
  // Where all ranks find these bytes of this process; nothing when they lie in memory of its own.
  virtual std::optional<std::uint64_t> shared_offset(const std::byte* at, std::size_t bytes) const = 0;
  // What a rank found at its shared_offset().
  virtual const std::byte* shared(std::uint64_t offset) const = 0;
  // Whether copy() works between all ranks.  All ranks say the same.
  virtual bool copies() const = 0;
  // Copies from `address` of another rank; false: it has died.
  virtual bool copy(int rank, std::uint64_t address, std::byte* into, std::size_t bytes) const = 0;

 protected:
  ~Reach() = default;
};

}  // namespace mobula::collective
