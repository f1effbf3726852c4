#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"
#include "core/os/memory_file.h"
#include "transport/shm/doorbell.h"
#include "transport/shm/ring.h"

namespace mobula::transport::shm {

// The memory file of a connection:
//
//   page 0           two RingControls: of the ring to the acceptor, and of the ring to the connector
//   page 1 ..        cells of the ring to the acceptor
//   ..               cells of the ring to the connector
//
// Made by the connector, who passes the descriptor; nobody else ever maps it.  Pages are taken when touched.
enum class LinkEnd { kConnector, kAcceptor };

std::size_t link_file_bytes(std::size_t ring_bytes);  // REQUIRES: is_ring_capacity(ring_bytes)

// One end of a connection's shared memory: a ring each way and the peer's doorbell.
class Link {
 public:
  Link() = default;
  // kInvalid when the file cannot be what the peer says it is: too small, or not sealed against shrinking.
  static base::Result<Link> open(LinkEnd end, const os::Fd& file, std::size_t ring_bytes);

  bool is_open() const { return memory_.valid(); }
  void set_peer_doorbell(PeerDoorbell bell) { bell_ = std::move(bell); }

  RingWriter& out() { return out_; }
  RingReader& in() { return in_; }
  const RingReader& in() const { return in_; }
  bool is_valid() const { return out_.is_valid() && in_.is_valid(); }

  // Publishes what out().reserve() gave, and wakes the peer if it sleeps.
  void publish(std::uint32_t tag, std::size_t body) {
    out_.publish(tag, body);
    bell_.ring_if_sleeping();
  }

  std::uint32_t peer_cpu() const { return bell_.cpu(); }

  // Frees the record that in().front() gave, and wakes the peer if it sleeps for room.
  void pop() {
    if (in_.pop()) [[unlikely]]
      tell_of_room();
  }

  // Around sleep with something left to send; the Doorbell's fence comes between these and the last look.
  void announce_wait() { out_.control().producer_waits.store(1, std::memory_order_relaxed); }
  void end_wait() { out_.control().producer_waits.store(0, std::memory_order_relaxed); }

 private:
  void tell_of_room();

  os::Mapping memory_;
  RingWriter out_;
  RingReader in_;
  PeerDoorbell bell_;
};

}  // namespace mobula::transport::shm
