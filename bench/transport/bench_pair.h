#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace mobula::bench {

// Two processes on a core each, joined by a socket pair over which the first tells the second which
// measurement comes.  Between measurements both wait in the kernel, so that nothing else spins.
class BenchPair {
 public:
  enum class Role { kLeader, kFollower };

  BenchPair();   // Forks.
  ~BenchPair();  // The leader waits for the follower.
  BenchPair(const BenchPair&) = delete;
  BenchPair& operator=(const BenchPair&) = delete;

  Role role() const { return role_; }
  bool leads() const { return role_ == Role::kLeader; }

  void put(const void* bytes, std::size_t size);  // Blocking; the program ends when the other side has.
  void get(void* bytes, std::size_t size);
  void put_string(const std::string& text);
  std::string get_string();

 private:
  int socket_ = -1;
  pid_t child_ = 0;
  Role role_ = Role::kLeader;
};

using Clock = std::chrono::steady_clock;
inline double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

struct Quantiles {
  double min = 0;
  double median = 0;
  double p99 = 0;
};
inline Quantiles quantiles(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2], samples[samples.size() * 99 / 100]};
}

[[noreturn]] void die(const std::string& what);

}  // namespace mobula::bench
