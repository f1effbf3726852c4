#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "core/base/machine.h"

namespace mobula::os {

// Sleeping on a 32-bit word that may lie in memory shared by processes.

enum class FutexWait {
  kWoken,    // By a wake; also now and then for nothing, so look at the word again.
  kChanged,  // The word did not hold `expected`: no sleep.
  kTimeout,
};

// Sleeps while `word` holds `expected`, at most `timeout` (nullopt: until woken).
FutexWait futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                     std::optional<base::Duration> timeout = std::nullopt);

// Wakes at most `sleepers` threads that sleep on the word; returns how many.
int futex_wake(const std::atomic<std::uint32_t>& word, int sleepers);

}  // namespace mobula::os
