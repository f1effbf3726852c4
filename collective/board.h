#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "collective/choose.h"
#include "collective/message.h"
#include "collective/reach.h"
#include "collective/reduction.h"
#include "core/base/bytes.h"

namespace mobula::collective {

// Collectives of ranks that share memory, without messages.
//
// Large calls read each rank's memory where it is (direct: board_direct.cc), as far as Reach can; else, and for small
// calls, through stages in the blocks (staged: board_staged.cc).  Both reduce in rank order, and so to the same bits.
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
  // From here on, of what a rank gives to or gets from the others, memory is read where it is.
  static constexpr std::size_t kMappedBytesMin = std::size_t{32} << 10;
  static constexpr std::size_t kCopiedBytesMin = std::size_t{512} << 10;

  struct alignas(64) Line {
    std::atomic<std::uint64_t> phase{0};
    std::uint64_t call = 0;  // Hash of the call's signature.
    std::array<std::byte, kInlineBytes> bytes{};
  };
  struct Block {
    std::array<Line, 2> lines;  // Of even and of odd phases.
    alignas(64) std::atomic<std::uint32_t> asleep{0};
    std::atomic<std::uint32_t> cpu{~0u};     // Where the rank was seen last: a hint.
    std::atomic<std::uint32_t> given_up{0};  // It has left a call in the middle: its memory may be anything now.
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

  // blocks[place.rank] is `own`.  They and `reach` outlive the board; without a reach all calls are staged.
  Board(Place place, Block& own, std::vector<const Block*> blocks, const Reach* reach = nullptr);
  static Block& format(void* memory);  // REQUIRES: sizeof(Block) bytes, aligned to 64.

  // Whether the board knows how: blocks of different lengths and elements longer than a part of a stage go by messages.
  bool can_run(const Request& request) const;
  enum class Outcome : std::uint8_t { kDone, kGivenUp, kMismatch, kUnreadable };
  // One call of all ranks.  kMismatch: mismatched_with() called something else.  kUnreadable: unreadable() has died or
  // given the call up, and its memory with it.
  Outcome run(const Request& request, const Reduction* reduction, const void* input, void* output, Patience& patience);
  int mismatched_with() const { return mismatch_; }
  int unreadable() const { return unreadable_; }
  const Signature& signature_of(int rank) const { return block(rank).signature; }

  // For a Patience that is about to sleep: announces it; true when what is waited for has come meanwhile.
  bool fall_asleep();
  void runs_on(std::uint32_t cpu);
  // Whether who is waited for was last seen on this CPU: a hint.
  bool awaited_shares_cpu() const;
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
  static void reduce(const Call& call, std::byte* into, std::size_t count, int first, int last, Part&& part);

  bool run_inline(const Call& call);
  bool run_flat_reduction(const Call& call);
  bool run_reduction(const Call& call);
  bool run_broadcast(const Call& call);
  bool run_exchange(const Call& call);
  bool run_staged(const Call& call);

  // ---- direct
  struct Exposed {  // A rank's buffers, as the others reach them.
    std::uint64_t input = 0;
    std::uint64_t output = 0;
    bool in_place_of_all = false;  // Offsets for Reach::shared(); else addresses for Reach::copy().
  };
  enum class From : std::uint8_t { kInput, kOutput };
  static std::size_t exchanged_bytes(const Call& call, int size);
  bool may_run_direct(const Call& call) const;
  Exposed expose(const Call& call) const;
  // Learns all ranks' buffers; false: given up.
  bool exchange_exposed(const Call& call);
  bool reads_direct(std::size_t bytes) const;
  // Bytes of a rank's buffer, in place or in `scratch`; null: it has died.
  const std::byte* piece_of(int rank, From from, std::size_t at, std::size_t bytes, std::byte* scratch);
  bool read(int rank, From from, std::size_t at, std::byte* into, std::size_t bytes);
  bool reduce_direct(const Call& call, std::byte* into, std::size_t first, std::size_t count);
  bool reduce_slices(const Call& call);
  bool exchange_direct(const Call& call);
  bool finish_direct(const Call& call);
  bool run_direct(const Call& call);

  Place place_;
  Block& own_;
  std::vector<const Block*> blocks_;
  const Reach* reach_;
  std::vector<Exposed> exposed_;
  std::unique_ptr<std::byte[]> scratch_;
  std::uint64_t phase_ = 0;
  std::size_t stage_ = 1;
  std::array<std::uint64_t, 2> stage_free_at_{};
  std::uint64_t call_ = 0;  // Hash of the current call's signature.
  std::uint64_t first_phase_ = 0;
  int mismatch_ = -1;
  int unreadable_ = -1;
  int wait_first_ = 0;  // What await() waits for now.
  int wait_last_ = 0;
  std::uint64_t wait_phase_ = 0;
};

}  // namespace mobula::collective
