#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/base/bytes.h"

namespace mobula::runtime {

// The host's count of processes that spin: one page shared by all raylets of the host and their workers, with as many
// slots as CPUs may be used.  A slot holds the pid of its spinner, so that the raylet can free those of the dead.
//
// Lock-free; any thread.  A process without a token polls with sched_yield for a moment and then sleeps: spinners
// beyond the number of cores cost a scheduler slice (4 ms) per message.
class SpinTokens {
 public:
  static constexpr std::uint32_t kSlotsMax = 1000;
  static constexpr std::size_t kBytes = 4096;

  SpinTokens() = default;  // No page: never gives a token.
  // `page` outlives this.  The maker formats it; others attach.
  static SpinTokens format(base::Bytes page, std::uint32_t slots);
  static SpinTokens attach(base::Bytes page);  // Without tokens when the page has another layout.

  // Takes a slot for `pid`; -1 when all are taken.
  int acquire(std::uint32_t pid) const;
  void release(int slot) const;  // REQUIRES: a slot from acquire().
  // Frees whatever a dead process held.
  void release_all_of(std::uint32_t pid) const;
  std::uint32_t slots() const;

 private:
  struct Page {
    std::atomic<std::uint64_t> magic;
    std::atomic<std::uint32_t> slots;
    std::atomic<std::uint32_t> holders[kSlotsMax];
  };
  static_assert(sizeof(Page) <= kBytes);
  static constexpr std::uint64_t kMagic = 0x314e4950534f4d01u;

  explicit SpinTokens(Page* page) : page_(page) {}
  Page* page_ = nullptr;
};

}  // namespace mobula::runtime
