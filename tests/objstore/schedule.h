#pragma once

#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace mobula::testing {

// Runs a few processes as fibers and lets another one go on at any of their atomic operations.  Every
// schedule with at most `preemptions_max` switches away from a process that could go on is tried, depth first
// (systematic testing with a bound on preemptions: Musuvathi and Qadeer, CHESS, 2007).  A process may also be killed
// for good before any of its operations.
class Schedules {
 public:
  struct Options {
    int preemptions_max = 3;
    int victim = -1;  // This process is killed at each of its operations in turn, and at none.
  };
  using Process = std::function<void()>;

  // `world` makes fresh state and returns the processes; `after` checks how it ended.  Returns how many schedules ran.
  static std::size_t explore(const Options& options, const std::function<std::vector<Process>()>& world,
                             const std::function<void(bool victim_killed)>& after);

  // Called before each atomic operation; nothing outside of a process.
  static void point();
  static int running() { return current_ != nullptr ? current_->running_ : -1; }

 private:
  struct Fiber {
    ucontext_t context{};
    std::vector<std::byte> stack;
    Process body;
    bool done = false;
  };
  struct Choice {
    std::size_t taken;
    std::size_t options;
  };

  static void enter();
  void run_once(std::vector<Process> processes);
  bool next_schedule();
  std::size_t choose(std::size_t options);
  int next();
  void go_on(Fiber& self);

  static Schedules* current_;
  Options options_;
  ucontext_t home_{};
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Choice> choices_;
  std::size_t depth_ = 0;
  int preemptions_ = 0;
  int running_ = -1;
  bool killed_ = false;
};

// What SharedIndex is built from in these tests: sequentially consistent, one operation at a time.
template <class T>
class ScheduledAtomic {
 public:
  T load(std::memory_order = std::memory_order_seq_cst) const {
    Schedules::point();
    return value_;
  }
  void store(T value, std::memory_order = std::memory_order_seq_cst) {
    Schedules::point();
    value_ = value;
  }
  T fetch_or(T bits, std::memory_order = std::memory_order_seq_cst) {
    Schedules::point();
    const T was = value_;
    value_ = static_cast<T>(value_ | bits);
    return was;
  }
  T fetch_add(T n, std::memory_order = std::memory_order_seq_cst) {
    Schedules::point();
    const T was = value_;
    value_ = static_cast<T>(value_ + n);
    return was;
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order = std::memory_order_seq_cst) {
    Schedules::point();
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = desired;
    return true;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst) {
    return compare_exchange_strong(expected, desired, order);
  }

 private:
  T value_{};
};

}  // namespace mobula::testing
