#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/base/bytes.h"

namespace mobula::transport::shm {

// A single-producer single-consumer ring of variable-sized records over memory that two processes map.
//
// Records start at cells of kCellBytes: a head word (tag and length), then the body, contiguous.  The head is
// the only word that the consumer polls, and it lies in the record's own first cache line, so a small
// message costs one line transfer.  A consumer must never take old bytes for a head; therefore:
//
//   Invariant P: the head word at the producer's tail is zero, in every state that the consumer can see.
//
// The producer keeps it by zeroing the head that *follows* a record before it publishes that record.  It
// always owns that cell: room for a record means room for its cells and one more.
//
// Positions count bytes from the ring's creation and never wrap; the offset is position mod capacity.
//   consumed <= tail <= consumed + capacity - kCellBytes
//
// Neither side trusts what it reads from the shared memory: a length, wrap mark or position that cannot be
// makes is_valid() false for good, and nothing is read or written through it.
inline constexpr std::size_t kCellBytes = 64;
inline constexpr std::size_t kHeadBytes = 8;
inline constexpr std::size_t kRingBytesMin = 4096;
inline constexpr std::size_t kRingBytesMax = std::size_t{1} << 30;

// What the sides tell each other besides records; on lines of their own, since each is written by one side
// and read by the other, and 128 bytes apart, since Intel's prefetcher fetches lines in pairs.
struct RingControl {
  alignas(128) std::atomic<std::uint64_t> consumed{0};        // Written by the consumer.
  alignas(128) std::atomic<std::uint32_t> producer_waits{0};  // Set by a producer that sleeps for room.
};
static_assert(sizeof(RingControl) == 256 && std::atomic<std::uint64_t>::is_always_lock_free);

struct RingMemory {
  RingControl* control = nullptr;
  std::byte* data = nullptr;  // Page-aligned, all zero when the ring is new.
  std::size_t capacity = 0;   // A power of two, kRingBytesMin to kRingBytesMax.
};

constexpr bool is_ring_capacity(std::size_t n) {
  return n >= kRingBytesMin && n <= kRingBytesMax && (n & (n - 1)) == 0;
}
// The longest body: a quarter of the ring, so that a record, the gap before a wrap and the cell behind
// always fit an empty ring.
constexpr std::size_t record_bytes_max(std::size_t capacity) { return capacity / 4 - kHeadBytes; }

// The producing side.  One thread at a time.
class RingWriter {
 public:
  RingWriter() = default;
  explicit RingWriter(const RingMemory& memory)  // REQUIRES: is_ring_capacity(memory.capacity)
      : memory_(memory), limit_(memory.capacity) {}

  std::size_t record_bytes_max() const { return shm::record_bytes_max(memory_.capacity); }

  // Room for a record of `body` bytes, or nullptr while the ring is full.  The record does not exist until
  // publish(); another reserve() forgets it.
  // REQUIRES: body <= record_bytes_max()
  std::byte* reserve(std::size_t body) {
    const std::uint64_t end = tail_ + cells(body);
    if (end + kCellBytes > limit_ || end > lap_end()) [[unlikely]]
      return reserve_slow(body);
    start_ = tail_;
    return at(start_) + kHeadBytes;
  }

  // Publishes what reserve() gave, `body` bytes of it (at most what was asked for).  `tag` is the caller's,
  // neither 0 nor kWrapTag.
  void publish(std::uint32_t tag, std::size_t body) {
    const std::uint64_t end = start_ + cells(body);
    // Before the publishing store: invariant P for the tail-to-be.  relaxed, since the release orders it.
    head(end).store(0, std::memory_order_relaxed);
    const std::uint64_t word = (std::uint64_t{tag} << 32) | body;
    if (start_ != tail_) [[unlikely]] {
      publish_wrapped(word);
    } else {
      // release: the consumer that sees the head (acquire) sees the body and the zeroed head behind it.
      head(tail_).store(word, std::memory_order_release);
    }
    tail_ = end;
  }

  // True when a record of `body` bytes fits now.  Reads the consumer's position.
  bool has_room(std::size_t body) {
    const std::uint64_t saved = start_;
    const bool fits = reserve(body) != nullptr;
    start_ = saved;
    return fits;
  }

  RingControl& control() const { return *memory_.control; }
  std::uint64_t tail() const { return tail_; }
  bool is_valid() const { return valid_; }

  static constexpr std::uint32_t kWrapTag = 0xffff'ffffu;
  static constexpr std::size_t cells(std::size_t body) {
    return (kHeadBytes + body + kCellBytes - 1) & ~(kCellBytes - 1);
  }

 private:
  std::byte* at(std::uint64_t position) const { return memory_.data + (position & (memory_.capacity - 1)); }
  std::atomic_ref<std::uint64_t> head(std::uint64_t position) const {
    return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(at(position)));
  }
  std::uint64_t lap_end() const { return (tail_ | (memory_.capacity - 1)) + 1; }
  std::byte* reserve_slow(std::size_t body);
  void publish_wrapped(std::uint64_t word);
  bool refresh_limit(std::uint64_t end);

  RingMemory memory_;
  std::uint64_t tail_ = 0;   // Where the next record goes: its head is zero (invariant P).
  std::uint64_t start_ = 0;  // Where the reserved record goes: tail_, or the start of the next lap.
  std::uint64_t limit_ = 0;  // consumed + capacity, as last read; never ahead of the truth.
  bool valid_ = true;
};

// The consuming side.  One thread at a time.
class RingReader {
 public:
  struct Record {
    std::uint32_t tag = 0;  // 0: there is none.
    base::ConstBytes body;  // In the ring: good until pop(), and the producer's process could still write it.
  };

  RingReader() = default;
  explicit RingReader(const RingMemory& memory)
      : memory_(memory), word_(reinterpret_cast<std::uint64_t*>(memory.data)) {}

  // The one word to poll.  relaxed: front() takes the acquire.
  bool has_record() const { return std::atomic_ref<std::uint64_t>(*word_).load(std::memory_order_relaxed) != 0; }

  // The oldest record, checked against the ring.  Tag 0 when there is none or the ring is not valid.
  Record front() {
    // acquire: pairs with the release in publish(); the body and the next head were written before it.
    const std::uint64_t word = std::atomic_ref<std::uint64_t>(*word_).load(std::memory_order_acquire);
    const auto tag = static_cast<std::uint32_t>(word >> 32);
    const std::size_t body = static_cast<std::uint32_t>(word);
    if (word == 0) return {};
    if (tag == 0 || tag == RingWriter::kWrapTag || body > shm::record_bytes_max(memory_.capacity) ||
        RingWriter::cells(body) > lap_left()) [[unlikely]] {
      return front_slow(word);
    }
    cells_ = RingWriter::cells(body);
    auto* first = reinterpret_cast<const std::byte*>(word_) + kHeadBytes;
    return {tag, {first, body}};
  }

  // Frees the record that front() gave.  Returns true when the consumed position was published, after
  // which a waiting producer may have to be woken.
  //
  // Published only each quarter of the ring, since each publication takes a line away from a producer that
  // reads it.  That never leaves a producer without room in front of an empty ring: it misses less than
  // a quarter, and needs at most a record (a quarter), the gap before a wrap (less than that) and a cell.
  bool pop() {
    position_ += cells_;
    word_ = word_at(position_);
    if (position_ - published_ < memory_.capacity / 4) return false;
    publish_consumed();
    return true;
  }

  RingControl& control() const { return *memory_.control; }
  std::uint64_t position() const { return position_; }
  bool is_valid() const { return valid_; }

 private:
  std::uint64_t* word_at(std::uint64_t position) const {
    return reinterpret_cast<std::uint64_t*>(memory_.data + (position & (memory_.capacity - 1)));
  }
  std::size_t lap_left() const { return memory_.capacity - (position_ & (memory_.capacity - 1)); }
  void publish_consumed() {
    published_ = position_;
    // release: the producer that sees it (acquire) may overwrite the cells that we have read.
    memory_.control->consumed.store(position_, std::memory_order_release);
  }
  Record front_slow(std::uint64_t word);

  RingMemory memory_;
  std::uint64_t* word_ = nullptr;  // The head at position_.
  std::uint64_t position_ = 0;     // Invariant: published_ <= position_ <= the producer's tail.
  std::uint64_t published_ = 0;
  std::size_t cells_ = 0;  // Of the record that front() gave.
  bool valid_ = true;
};

}  // namespace mobula::transport::shm
