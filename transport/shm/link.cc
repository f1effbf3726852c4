#include "transport/shm/link.h"

#include <fcntl.h>

#include <new>

namespace mobula::transport::shm {
namespace {

constexpr std::size_t kControlBytes = 4096;

RingMemory ring_memory(std::byte* base, std::size_t index, std::size_t ring_bytes) {
  // A new file is all zero, and so is a RingControl: nothing to construct, no page to touch.
  auto* control = std::launder(reinterpret_cast<RingControl*>(base + index * sizeof(RingControl)));
  return {control, base + kControlBytes + index * ring_bytes, ring_bytes};
}

}  // namespace

std::size_t link_file_bytes(std::size_t ring_bytes) { return kControlBytes + 2 * ring_bytes; }

base::Result<Link> Link::open(LinkEnd end, const os::Fd& file, std::size_t ring_bytes) {
  if (!is_ring_capacity(ring_bytes)) {
    return base::Error{base::Code::kInvalid, "a ring of " + std::to_string(ring_bytes) + " bytes cannot be"};
  }
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return base::Error{base::Code::kInvalid, "a ring's memory file is not sealed against shrinking"};
  }
  auto memory = os::map_file(file, 0, link_file_bytes(ring_bytes), os::Access::kReadWrite);
  if (!memory) return memory.error();
  Link link;
  link.memory_ = *std::move(memory);
  const RingMemory to_acceptor = ring_memory(link.memory_.data(), 0, ring_bytes);
  const RingMemory to_connector = ring_memory(link.memory_.data(), 1, ring_bytes);
  const bool connector = end == LinkEnd::kConnector;
  link.out_ = RingWriter(connector ? to_acceptor : to_connector);
  link.in_ = RingReader(connector ? to_connector : to_acceptor);
  return link;
}

void Link::tell_of_room() {
  // Pairs with the sleeper's fence (doorbell.h): it sees the consumed position, or we see that it waits.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (in_.control().producer_waits.load(std::memory_order_relaxed) != 0) bell_.ring_if_sleeping();
}

}  // namespace mobula::transport::shm
