#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "transport/buffer_cache.h"
#include "transport/ofi/packets.h"
#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {

// A numbered packet that has to wait: for one sent before it, for its payload, or for the next progress().
struct Held {
  enum class State { kAbsent, kReady, kUnread, kReading };
  State state = State::kAbsent;
  Packet* packet = nullptr;
  PacketHeader head;
  ConstBytes header;   // In the packet.
  ConstBytes payload;  // In the packet, or in `piece` once it has been read.
  Source source;       // kRendezvous.
  BufferCache::Piece piece;
};

// Puts one peer's packets back in the order sent: libfabric is not asked for any.  A sender may be kWindow packets
// ahead of what has been delivered, so that what waits here has a bound without counting bytes.
class Window {
 public:
  explicit Window(std::uint32_t first = 0) : next_(first) {}

  std::uint32_t next() const { return next_; }  // As many have been delivered, and are done with.
  bool is_next(std::uint32_t sequence) const {
    return sequence == next_ && slot(sequence).state == Held::State::kAbsent;
  }
  void advance() { ++next_; }  // The next one has been delivered without waiting here.

  // Where a packet waits; nullptr when it may not: delivered already, there already, or beyond the window.
  Held* place(std::uint32_t sequence) {
    const bool inside = sequence - next_ < kWindow;  // Wraps; what was delivered is far ahead.
    return inside && slot(sequence).state == Held::State::kAbsent ? &slot(sequence) : nullptr;
  }
  Held& at(std::uint32_t sequence) { return slot(sequence); }  // REQUIRES: placed, not taken.

  bool ready() const { return slot(next_).state == Held::State::kReady; }
  Held take() {  // REQUIRES: ready().  Before delivering it, since delivering may come back here.
    return std::exchange(slot(next_++), Held());
  }

 private:
  Held& slot(std::uint32_t sequence) { return slots_[sequence % kWindow]; }
  const Held& slot(std::uint32_t sequence) const { return slots_[sequence % kWindow]; }
  static_assert((kWindow & (kWindow - 1)) == 0, "sequence numbers wrap");

  std::uint32_t next_;
  std::array<Held, kWindow> slots_;
};

}  // namespace mobula::transport::ofi
