#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace mobula {

template <class T>
class Task;

namespace detail {

// Coroutines of a thread run one after another from its queue, never one inside the other (symmetric transfer overflows
// the stack where the compiler makes no tail call).  Within a RunScope, schedule() queues; the end of the outermost
// one runs the queue dry.
void schedule(std::coroutine_handle<> coroutine);
class RunScope {
 public:
  RunScope();
  ~RunScope();
  RunScope(const RunScope&) = delete;
  RunScope& operator=(const RunScope&) = delete;
};

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> done) const noexcept {
    if (done.promise().waiter) schedule(done.promise().waiter);
  }
  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> waiter;
  std::exception_ptr error;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void check() const {
    if (error) std::rethrow_exception(error);
  }
};

template <class T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  requires std::convertible_to<U, T>
  void return_value(U&& v) { value.emplace(std::forward<U>(v)); }
  T take() {
    check();
    return std::move(*value);
  }
};
template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const { check(); }
};

}  // namespace detail

// A coroutine that co_awaits Refs and other Tasks.  A remote function or method may return one: while it waits, its
// worker is free for other work.  It starts when it is awaited (remote functions are by the worker), and is awaited
// once. Destroying a Task that has not ended destroys its frame.
template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}
  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  struct Awaiter {
    std::coroutine_handle<promise_type> task;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      task.promise().waiter = waiter;
      detail::schedule(task);
    }
    T await_resume() const { return task.promise().take(); }
  };
  Awaiter operator co_await() const noexcept { return Awaiter{coroutine_}; }

 private:
  std::coroutine_handle<promise_type> coroutine_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

// The bottom of a chain of coroutines: runs at once and frees itself.
struct RootTask {
  struct promise_type {
    RootTask get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

}  // namespace detail
}  // namespace mobula
