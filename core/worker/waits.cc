#include "core/worker/waits.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/worker/running_call.h"
#include "core/worker/thread_context.h"

namespace mobula::runtime {
namespace {

bool settled_enough(const ObjectRef& ref, FetchLocal fetch) {
  const ObjectStatus status = ref->status();
  if (status == ObjectStatus::kPending) return false;
  return status != ObjectStatus::kRemote || fetch == FetchLocal::kNo;
}

}  // namespace

void Waits::want(const ObjectRef& ref, FetchLocal fetch) {
  LocalObject& object = local(ref);
  if (object.status() == ObjectStatus::kPending && object.borrowed()) references_.values().ask_owner(object);
  if (object.status() == ObjectStatus::kRemote && fetch == FetchLocal::kYes) references_.values().fetch(object);
}

// Of those, the calls that this process has made to its own actor.
std::vector<base::TaskId> Waits::calls_to_ourselves(const Wanted& wanted) const {
  std::vector<base::TaskId> out;
  for (const ObjectRef& ref : wanted.refs) {
    const Task* const task = tasks_.find(local(ref).task);
    if (task == nullptr || task->actor == nullptr || task->target != Target::kActor) continue;
    if (task->actor->id == executor_.actor().id()) out.push_back(task->id);
  }
  return out;
}

// One blocking wait of a user's thread.  In a task, the first sleep gives the CPU back.  What an actor waits for
// without a limit and holds up itself never comes: then the wait ends at once.
bool Waits::block(Engine::Lock& lock, const std::function<bool()>& done, const Wanted& wanted,
                  std::optional<Time> deadline) {
  CallScope* const task = current_scope();
  const bool in_task = task != nullptr && task->call != nullptr;
  const bool resumes = continuations_ == Continuations::kWhileWaiting;
  bool gave_back = false;
  const auto cancelled = [&] { return in_task && task->call->cancelled(); };
  std::vector<base::TaskId> own;
  if (in_task && !deadline && executor_.actor().exists()) own = calls_to_ourselves(wanted);
  const auto never = [&] {
    if (own.size() <= wanted.spare) return false;
    const auto held_up = std::ranges::count_if(own, [&](const base::TaskId& id) { return executor_.holds_up(id); });
    return static_cast<std::size_t>(held_up) > wanted.spare;
  };
  const auto give_back = [&] {
    if (gave_back) return;
    gave_back = true;
    executor_.wait_began();
  };
  bool result = true;
  for (;;) {
    const bool woke = engine_.wait(
        lock, [&] { return done() || cancelled() || never() || (resumes && executor_.has_continuation()); }, deadline,
        in_task ? std::function<void()>(give_back) : nullptr);
    if (done()) break;
    if (in_task) task->call->waits_for_itself = never();
    if (!woke || cancelled() || never()) {
      result = false;
      break;
    }
    executor_.run_continuation(lock);
  }
  if (gave_back) executor_.wait_ended();
  return result;
}

std::size_t Waits::wait_for_all(Engine::Lock& lock, std::span<const ObjectRef> refs, std::optional<Time> deadline,
                                FetchLocal fetch) {
  for (const ObjectRef& ref : refs) want(ref, fetch);
  std::size_t first_open = 0;
  const auto done = [&] {
    while (first_open < refs.size()) {
      if (!settled_enough(refs[first_open], fetch)) {
        want(refs[first_open], fetch);  // Its owner may have told meanwhile that the bytes are elsewhere.
        if (!settled_enough(refs[first_open], fetch)) return false;
      }
      ++first_open;
    }
    return true;
  };
  if (done() || block(lock, done, {refs, 0}, deadline)) return refs.size();
  return static_cast<std::size_t>(
      std::ranges::count_if(refs, [&](const ObjectRef& r) { return settled_enough(r, fetch); }));
}

std::size_t Waits::wait_for_some(Engine::Lock& lock, std::span<const ObjectRef> refs, std::size_t count,
                                 std::optional<Time> deadline, FetchLocal fetch) {
  struct Counter final : Waiter {
    std::size_t* settled = nullptr;
    bool linked = false;
    void object_ready(LocalObject&) override {
      ++*settled;
      linked = false;
    }
  };
  std::size_t settled = 0;
  std::vector<Counter> counters(refs.size());
  for (std::size_t i = 0; i < refs.size(); ++i) {
    want(refs[i], fetch);
    if (settled_enough(refs[i], fetch)) {
      ++settled;
      continue;
    }
    counters[i].settled = &settled;
    counters[i].wants = fetch == FetchLocal::kYes ? Waiter::Wants::kLocal : Waiter::Wants::kSettled;
    counters[i].linked = true;
    local(refs[i]).add_waiter(counters[i]);
  }
  if (settled < count)
    block(
        lock, [&] { return settled >= count; }, {refs, refs.size() - count}, deadline);
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (counters[i].linked) local(refs[i]).remove_waiter(counters[i]);
  }
  return settled;
}

std::size_t Waits::wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                        FetchLocal fetch) {
  if (CallScope* const mine = current_scope(); mine != nullptr && mine->call != nullptr) mine->call->has_waited = true;
  if (refs.size() == 1 && settled_enough(refs[0], fetch)) return 1;  // Without the lock: statuses only grow.
  Engine::Lock lock(engine_);
  if (count >= refs.size()) return wait_for_all(lock, refs, deadline, fetch);
  return wait_for_some(lock, refs, count, deadline, fetch);
}

bool Waits::when_ready(const ObjectRef& ref, Continuation& continuation) {
  struct Resume final : Waiter {
    Resume(Executor& e, Continuation& c, CallScope* s, ObjectRef r)
        : executor(e), continuation(c), scope(s), ref(std::move(r)) {}
    void object_ready(LocalObject&) override {
      executor.queue_continuation(continuation, scope);
      delete this;
    }
    Executor& executor;
    Continuation& continuation;
    CallScope* scope;
    ObjectRef ref;  // Keeps the object, and so this, until it settles.
  };
  if (CallScope* const mine = current_scope(); mine != nullptr && mine->call != nullptr) mine->call->has_waited = true;
  if (settled_enough(ref, FetchLocal::kYes)) return false;
  Engine::Lock lock(engine_);
  want(ref, FetchLocal::kYes);
  if (settled_enough(ref, FetchLocal::kYes)) return false;
  auto* resume = new Resume(executor_, continuation, current_scope(), ref);
  resume->wants = Waiter::Wants::kLocal;
  local(ref).add_waiter(*resume);
  return true;
}

}  // namespace mobula::runtime
