#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace mobula::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// The median of `count` runs of `work`, in microseconds.
template <class F>
double median_us(int count, F&& work) {
  std::vector<double> us;
  us.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    work();
    us.push_back(seconds_since(start) * 1e6);
  }
  return median(std::move(us));
}

}  // namespace mobula::bench
