#include "core/os/alarm.h"

#include <sys/timerfd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace mobula::os {

Alarm::Alarm() : timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  if (!timer_.valid()) {
    std::perror("mobula: timerfd_create");
    std::abort();
  }
}

void Alarm::set(std::optional<base::Time> when) {
  if (when == when_) return;
  when_ = when;
  itimerspec spec{};
  if (when) {
    // Zero would disarm it.
    const auto ns = std::max<std::int64_t>(1, when->time_since_epoch().count());
    spec.it_value = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace mobula::os
