#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "core/base/machine.h"
#include "core/os/event_loop.h"
#include "core/worker/core_escape.h"
#include "core/worker/links.h"
#include "core/worker/spin_pace.h"
#include "core/worker/spin_tokens.h"

namespace mobula::runtime {

// The one progress context of a process, with the one lock around everything that the process knows.
//
// The thread that waits makes the progress (ARCHITECTURE section 5): it polls the transports itself, spins while it has
// a token, then sleeps in one poll() that every transport, socket and pidfd can end.  Other threads that wait meanwhile
// follow it.  A service thread takes the engine only when nobody has for a while although there is work.
class Engine {
 public:
  // Holds the lock; made by every public call.
  class Lock {
   public:
    explicit Lock(Engine& engine) : lock_(engine.mutex_, std::defer_lock) {
      if (lock_.try_lock()) return;
      engine.contenders_.fetch_add(1, std::memory_order_relaxed);
      lock_.lock();
      engine.contenders_.fetch_sub(1, std::memory_order_relaxed);
    }
    void unlock() { lock_.unlock(); }
    void lock() { lock_.lock(); }

   private:
    friend class Engine;
    std::unique_lock<std::mutex> lock_;
  };

  Engine();
  ~Engine();  // REQUIRES: no thread waits.
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  os::EventLoop& loop() { return loop_; }
  // Ends the service thread; before the parts that it progresses are destroyed.
  void stop();
  // Attaches the transports and starts to serve.  Once, before threads wait.
  void start(Links& links, SpinTokens tokens);
  // Runs under the lock after each progress that did something: releases, batches.
  void set_after_progress(std::function<void()> hook) { after_progress_ = std::move(hook); }

  // Makes progress until done() (asked under the lock) or the deadline; false: the deadline has passed.
  // `before_sleep` runs once, under the lock, before the first sleep.
  template <class Done>
  bool wait(Lock& lock, Done&& done, std::optional<base::Time> deadline,
            const std::function<void()>& before_sleep = nullptr) {
    if (done()) return true;
    const Predicate predicate{
        [](const void* d) { return (*static_cast<std::remove_reference_t<Done>*>(const_cast<void*>(d)))(); }, &done};
    return wait_slowly(lock, predicate, deadline, before_sleep);
  }

  // For a thread that waits for memory to change instead of for a message: whether it may spin, rather than yield.  The
  // token is the engine's, and goes back when somebody sleeps.
  bool take_spin_token();
  // One round; the lock is held.  Returns how much happened.
  std::size_t progress();
  // Rounds until done() or the deadline, without letting go of the lock, which is held.
  void progress_alone(const std::function<bool()>& done, base::Time deadline);
  // Something that another thread may be waiting for has happened.
  void notify();

  // Work is under way that nobody may be waiting for: the service thread looks after it until it is done.
  void work_began(std::uint64_t n = 1) {
    outstanding_ += n;
    wake_service();
  }
  void work_ended(std::uint64_t n = 1) { outstanding_ -= n; }
  // User code runs on an executing thread.  Any thread, no lock.
  void user_code_began() {
    running_.fetch_add(1, std::memory_order_relaxed);
    wake_service();
  }
  // Something waits for the next progress, whoever makes it.  Any thread, no lock.
  void nudge() { wake_service(); }
  void user_code_ended() { running_.fetch_sub(1, std::memory_order_relaxed); }

  std::uint64_t sleeps() const { return sleeps_; }

 private:
  struct Predicate {
    bool (*call)(const void*);
    const void* arg;
    bool operator()() const { return call(arg); }
  };

  bool wait_slowly(Lock& lock, const Predicate& done, std::optional<base::Time> deadline,
                   const std::function<void()>& before_sleep);
  bool drive(Lock& lock, const Predicate& done, std::optional<base::Time> deadline,
             const std::function<void()>& before_sleep);
  bool spin(Lock& lock, const Predicate& done, std::optional<base::Time> deadline);
  void sleep(Lock& lock, const Predicate& done, std::optional<base::Time> deadline);
  std::size_t look_at_loop();
  void tell_others();
  void poll_all();
  void let_others_in(Lock& lock);
  void release_token();
  void wake_service() {
    if (service_asleep_.load(std::memory_order_relaxed) != 0) wake_service_slowly();
  }
  void wake_service_slowly();
  void serve();

  std::mutex mutex_;
  std::condition_variable followers_wake_;
  std::atomic<std::uint32_t> contenders_{0};
  std::uint32_t followers_ = 0;
  bool driven_ = false;  // A thread drives: it polls, or sleeps for all.
  bool driver_sleeps_ = false;
  std::size_t empty_looks_ = 0;  // Events of the loop that turned out to be nothing.
  std::uint64_t rounds_ = 0;
  std::uint64_t sleeps_ = 0;
  std::uint64_t outstanding_ = 0;
  std::atomic<std::uint32_t> running_{0};
  std::atomic<std::uint64_t> progress_serial_{0};

  os::EventLoop loop_;
  Links* links_ = nullptr;
  SpinTokens tokens_;
  int token_ = -1;
  SpinPace pace_;      // The driver's.
  CoreEscape escape_;  // The same.
  std::uint32_t pid_ = 0;
  std::function<void()> after_progress_;

  std::atomic<std::uint32_t> service_asleep_{0};
  std::atomic<bool> stopping_{false};
  std::thread service_;
};

}  // namespace mobula::runtime
