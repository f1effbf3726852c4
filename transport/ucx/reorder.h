#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "core/base/bytes.h"
#include "transport/buffer_cache.h"
#include "transport/ucx/wire.h"

namespace mobula::transport::ucx {

// A message that has to wait: for one sent before it, for its own bytes (rendezvous), or for the next
// progress().
struct Held {
  enum class State { kFilling, kReady };
  State state = State::kReady;
  MessageHeader head;
  std::size_t header_bytes = 0;
  std::size_t payload_bytes = 0;
  BufferCache::Piece piece;  // Header, then payload.

  base::Bytes header() const { return {piece.memory.get(), header_bytes}; }
  base::Bytes payload() const { return {piece.memory.get() + header_bytes, payload_bytes}; }
};

// Puts one peer's messages back in the order sent.  UCX keeps none between its protocols: a long message's
// last fragment, or its rendezvous, may come after a short one sent later.
//
// At most `bytes_max` of headers and payloads wait here, and at most kHeldMax messages.
class Reorder {
 public:
  static constexpr std::size_t kHeldMax = 1u << 16;
  static constexpr std::size_t kHeldOverheadBytes = 256;  // What one message is charged besides its bytes.

  // `buffers` must outlive it.
  Reorder(BufferCache& buffers, std::size_t bytes_max, std::uint32_t first = 0)
      : buffers_(buffers), bytes_max_(bytes_max), next_(first) {}

  // Whether this message is the next one and nothing waits before it: deliver it, then call advance().
  bool is_next(std::uint32_t sequence) const { return sequence == next_ && waiting_.empty(); }
  void advance() { ++next_; }

  // Makes room for a message that has to wait; nullptr when it may not: delivered already, there already,
  // beyond the limits, or no memory.  The pointer is good until the message is taken.
  Held* hold(const MessageHeader& head, std::size_t header_bytes, std::size_t payload_bytes);

  // The next message when it is there whole; take() before delivering it, since delivering may come back here.
  bool ready() const {
    return !waiting_.empty() && waiting_.front() != nullptr && waiting_.front()->state == Held::State::kReady;
  }
  std::unique_ptr<Held> take();                                                               // REQUIRES: ready()
  void give_back(std::unique_ptr<Held> held) { buffers_.give_back(std::move(held->piece)); }  // When delivered.

  std::size_t held_bytes() const { return held_bytes_; }
  bool is_valid() const;

 private:
  BufferCache& buffers_;
  std::size_t bytes_max_;
  std::uint32_t next_;
  std::deque<std::unique_ptr<Held>> waiting_;  // [i] is message next_ + i, nullptr while it has not come.
  std::size_t held_bytes_ = 0;
};

}  // namespace mobula::transport::ucx
