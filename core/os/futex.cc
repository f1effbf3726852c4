#include "core/os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace mobula::os {

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free);

FutexWait futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                     std::optional<base::Duration> timeout) {
  timespec wait{};
  if (timeout) {
    const auto ns = std::max<std::int64_t>(0, timeout->count());
    wait = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  // FUTEX_WAIT without FUTEX_PRIVATE_FLAG: the key is the page, not our address.
  if (::syscall(SYS_futex, &word, FUTEX_WAIT, expected, timeout ? &wait : nullptr, nullptr, 0) == 0) {
    return FutexWait::kWoken;
  }
  if (errno == EAGAIN) return FutexWait::kChanged;
  return errno == ETIMEDOUT ? FutexWait::kTimeout : FutexWait::kWoken;
}

int futex_wake(const std::atomic<std::uint32_t>& word, int sleepers) {
  const long woken = ::syscall(SYS_futex, &word, FUTEX_WAKE, sleepers, nullptr, nullptr, 0);
  return woken < 0 ? 0 : static_cast<int>(woken);
}

}  // namespace mobula::os
