#include "core/os/forks.h"

#include <pthread.h>

#include <atomic>

namespace mobula::os {
namespace {

std::atomic<std::uint32_t> generation{0};

}  // namespace

void watch_forks() {
  [[maybe_unused]] static const int watched =
      ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
}

std::uint32_t fork_generation() { return generation.load(std::memory_order_relaxed); }

}  // namespace mobula::os
