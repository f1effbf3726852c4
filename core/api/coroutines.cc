#include <deque>

#include "core/api/runtime_access.h"
#include "mobula/ref.h"
#include "mobula/task.h"

namespace mobula::detail {

namespace {
struct Queue {
  int scopes = 0;
  std::deque<std::coroutine_handle<>> ready;
};
thread_local Queue queue;
}  // namespace

RunScope::RunScope() { ++queue.scopes; }

RunScope::~RunScope() {
  while (queue.scopes == 1 && !queue.ready.empty()) {
    const std::coroutine_handle<> next = queue.ready.front();
    queue.ready.pop_front();
    next.resume();
  }
  --queue.scopes;
}

void schedule(std::coroutine_handle<> coroutine) {
  const RunScope scope;
  queue.ready.push_back(coroutine);
}

bool RefAwaiter::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  // From here on another thread may run the coroutine and with it the end of this awaiter.
  return InSession()->when_ready(ref_, *this);
}

void RefAwaiter::resume() {
  const ThrowRecorder recorder;
  schedule(waiter_);
}

}  // namespace mobula::detail
