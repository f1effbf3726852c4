#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/result.h"
#include "core/os/fd.h"
#include "core/os/memory_file.h"

namespace mobula::transport::shm {

// What all peers see of a worker.
struct BellPage {
  std::atomic<std::uint32_t> sleeping;
  std::atomic<std::uint32_t> cpu;  // Where it ran when it last looked: a hint, and nothing but speed depends on it.
};

// How a worker that sleeps is woken by those who write into its rings.
//
// One word, `sleeping`, in a page that all peers map, and an eventfd.  The protocol (Dekker's):
//
//   sleeper                               producer
//   sleeping = 1                          publish a record
//   full fence                            full fence
//   look at all rings: something there?   sleeping == 1?  exchange it to 0; write the eventfd if it was 1
//   no: wait for the eventfd
//
// Of two full fences one comes first, so either the sleeper sees the record or the producer sees the word.
// Who clears the word writes the eventfd: there is never a cleared word without a wake-up on its way.  The
// same pair of fences covers a producer that sleeps until its peer makes room.
class Doorbell {
 public:
  static base::Result<Doorbell> create();

  // Before the last look at the rings.
  void announce_sleep() {
    word().store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  // relaxed: a producer that reads an old 1 writes the eventfd once too often, which is harmless.
  void awake() { word().store(0, std::memory_order_relaxed); }

  // For peers that wonder whether they hold us up.  relaxed: it orders nothing.
  void runs_on(std::uint32_t cpu) {
    if (cpu == cpu_) return;
    cpu_ = cpu;
    page().cpu.store(cpu, std::memory_order_relaxed);
  }

  const os::Fd& memory() const { return memory_; }
  const os::Fd& event() const { return event_; }

 private:
  Doorbell(os::Fd memory, os::Fd event, os::Mapping page)
      : memory_(std::move(memory)), event_(std::move(event)), page_(std::move(page)) {}
  BellPage& page() const { return *reinterpret_cast<BellPage*>(page_.data()); }
  std::atomic<std::uint32_t>& word() const { return page().sleeping; }

  os::Fd memory_;
  os::Fd event_;
  os::Mapping page_;
  std::uint32_t cpu_ = 0;  // What the page says.
};

// A peer's doorbell, from the descriptors that the peer sent.
class PeerDoorbell {
 public:
  PeerDoorbell() = default;
  static base::Result<PeerDoorbell> open(const os::Fd& memory, os::Fd event);

  // After publishing.  A fence for each message costs less than to do without: membarrier(2) on the
  // sleeper's side takes 16 us in a virtual machine while the peer runs, and up to 13 ms to register.
  void ring_if_sleeping() const {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (word().load(std::memory_order_relaxed) != 0) [[unlikely]]
      ring();
  }
  std::uint32_t cpu() const { return page().cpu.load(std::memory_order_relaxed); }

 private:
  PeerDoorbell(os::Fd event, os::Mapping page) : event_(std::move(event)), page_(std::move(page)) {}
  BellPage& page() const { return *reinterpret_cast<BellPage*>(page_.data()); }
  std::atomic<std::uint32_t>& word() const { return page().sleeping; }
  void ring() const;

  os::Fd event_;
  os::Mapping page_;
};

}  // namespace mobula::transport::shm
