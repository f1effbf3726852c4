#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "core/base/machine.h"
#include "core/os/fd.h"

namespace mobula::os {

using base::Duration;
using base::Time;

Time now();  // CLOCK_MONOTONIC.

// One epoll set with timers and posted functions.
//
// All methods but post() and wake() belong to the thread that runs the loop.  Callbacks run inside
// run_once(), never inside the call that registered them, and may add and remove any watch, their
// own included.
class EventLoop {
 public:
  using Callback = std::function<void(std::uint32_t epoll_events)>;
  using Id = std::uint64_t;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Calls back while `fd` (not owned, must stay open until remove) has any of `events` (EPOLLIN, ...).
  Id watch(int fd, std::uint32_t events, Callback callback);
  void modify(Id watch, std::uint32_t events);
  void remove(Id watch);  // Harmless when it is gone already.

  // Calls back once, not before `when`.
  Id at(Time when, std::function<void()> callback);
  Id after(Duration delay, std::function<void()> callback) { return at(now() + delay, std::move(callback)); }
  void cancel(Id timer);  // Harmless when it has fired.

  void post(std::function<void()> callback);  // Thread-safe.  Runs in the next run_once().
  void wake();                                // Thread-safe and async-signal-safe.

  // Waits at most `timeout` (nullopt: until something happens), runs what is ready, returns how many
  // callbacks ran.
  std::size_t run_once(std::optional<Duration> timeout);
  void run();   // Until stop().
  void stop();  // From a callback or, through post(), from any thread.

  int fd() const;  // The epoll descriptor: readable when a watch is ready or wake() was called.
  std::optional<Time> next_timer() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::os
