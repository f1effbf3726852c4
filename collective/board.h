#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "collective/choose.h"
#include "collective/message.h"
#include "collective/reduction.h"
#include "core/base/bytes.h"

namespace mobula::collective {

// Collectives of ranks that share memory, without messages and without copies through a third place.
//
// Each rank has one block that it alone writes and all others read: a published phase, a few bytes beside it, and two
// stages for data.  All ranks count phases alike: in each phase a rank writes what the others need, publishes, waits
// until all that it reads from have published too, and reads.  A stage is written again only when all have published
// that they have done with it, which the phases of the calls in between mostly say for free.
//
// Memory orders: a phase is published after what it covers was written and read by acquire loads before that is read;
// so everything else in a block is plain memory.  A publisher looks at the others' `asleep` flags behind its phase, a
// sleeper at their phases behind its flag; all four accesses are sequentially consistent, so one of both sees the other
// (Dekker).
class Board {
 public:
  static constexpr std::size_t kStageBytes = std::size_t{256} << 10;
  static constexpr std::size_t kInlineBytes = 48;

  struct alignas(64) Line {
    std::atomic<std::uint64_t> phase{0};
    std::uint64_t call = 0;  // Hash of the call's signature.
    std::array<std::byte, kInlineBytes> bytes{};
  };
  struct Block {
    std::array<Line, 2> lines;  // Of even and of odd phases.
    alignas(64) std::atomic<std::uint32_t> asleep{0};
    alignas(64) Signature signature;
    alignas(64) std::array<std::array<std::byte, kStageBytes>, 2> stages;
  };

  // What a rank does while others have not come.
  class Patience {
   public:
    // Asked again and again while a rank waits; `spins` counts from 0 in each wait.  False: give the call up.
    virtual bool wait_more(std::uint64_t spins) = 0;
    // A rank that sleeps has to be woken, now that this one has published.
    virtual void wake(int rank) = 0;

   protected:
    ~Patience() = default;
  };

  // blocks[place.rank] is `own`.  They outlive the board.
  Board(Place place, Block& own, std::vector<const Block*> blocks);
  static Block& format(void* memory);  // REQUIRES: sizeof(Block) bytes, aligned to 64.

  // Whether the board knows how: blocks of different lengths and elements longer than a part of a stage go by messages.
  bool can_run(const Request& request) const;
  enum class Outcome : std::uint8_t { kDone, kGivenUp, kMismatch };
  // One call of all ranks.  kMismatch: mismatched_with() called something else.
  Outcome run(const Request& request, const Reduction* reduction, const void* input, void* output, Patience& patience);
  int mismatched_with() const { return mismatch_; }
  const Signature& signature_of(int rank) const { return block(rank).signature; }

  // For a Patience that is about to sleep: announces it; true when what is waited for has come meanwhile.
  bool fall_asleep();
  void wake_up() { own_.asleep.store(0, std::memory_order_relaxed); }
  std::vector<int> waits_for() const;

 private:
  struct Call {
    const Request& request;
    const Reduction* reduction;
    const std::byte* input;
    std::byte* output;
    Patience& patience;
    std::size_t bytes(std::size_t elements) const { return elements * request.element_bytes; }
  };

  const Block& block(int rank) const { return *blocks_[static_cast<std::size_t>(rank)]; }
  bool published(int rank, std::uint64_t phase) const {
    return block(rank).lines[phase & 1].phase.load(std::memory_order_acquire) >= phase;
  }
  // False: given up.  Nobody publishes a phase before all have published the one before it, so that a line is written
  // again only when all have read what it held.
  bool publish(Patience& patience);
  // Until ranks [first, last) have published `phase`.
  bool await(int first, int last, std::uint64_t phase, Patience& patience);
  bool await_all(std::uint64_t phase, Patience& patience) { return await(0, place_.size, phase, patience); }
  bool check_calls();
  // The stage to write next, once nobody reads it any more; null: given up.  `free_at`: the phase whose publication by
  // all says that they have done with it.
  std::byte* take_stage(std::uint64_t free_at, Patience& patience);
  const std::byte* stage_of(int rank) const { return block(rank).stages[stage_].data(); }
  // into = the reduction of what `part(rank)` gives for ranks [first, last), in rank order.
  template <class Part>
  void reduce(const Call& call, std::byte* into, std::size_t count, int first, int last, Part&& part) const;

  bool run_inline(const Call& call);
  bool run_reduction(const Call& call);
  bool run_broadcast(const Call& call);
  bool run_exchange(const Call& call);

  Place place_;
  Block& own_;
  std::vector<const Block*> blocks_;
  std::uint64_t phase_ = 0;
  std::size_t stage_ = 1;
  std::array<std::uint64_t, 2> stage_free_at_{};
  std::uint64_t call_ = 0;  // Hash of the current call's signature.
  std::uint64_t first_phase_ = 0;
  int mismatch_ = -1;
  int wait_first_ = 0;  // What await() waits for now.
  int wait_last_ = 0;
  std::uint64_t wait_phase_ = 0;
};

}  // namespace mobula::collective
