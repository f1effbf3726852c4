#include "core/worker/task_table.h"

#include <cstdio>
#include <cstdlib>
#include <unordered_set>
#include <utility>

namespace mobula::runtime {

Task& TaskTable::make() {
  if (free_.empty()) {
    if (used_ == kSlotsMax) {
      std::fprintf(stderr, "mobula: more than %u calls are pending in one process\n", kSlotsMax);
      std::abort();
    }
    if (used_ % kBlock == 0) blocks_.push_back(std::make_unique<Task[]>(kBlock));
    free_.push_back(used_++);
  }
  Task& task = at(free_.back());
  task.slot = free_.back();
  free_.pop_back();
  ++task.generation;
  task.state = Task::State::kWaiting;
  ++live_;
  return task;
}

void TaskTable::release(Task& task) {
  const std::uint32_t slot = task.slot;
  const std::uint32_t generation = task.generation;
  // References are dropped last: dropping one may run anything.
  const Task ended = std::exchange(task, Task());
  task.slot = slot;
  task.generation = generation;
  --live_;
  free_.push_back(slot);
}

Task* TaskTable::find(std::uint64_t handle) {
  const auto slot = static_cast<std::uint32_t>(handle);
  if (slot >= used_) return nullptr;
  Task& task = at(slot);
  if (task.state == Task::State::kFree || task.generation != handle >> 32) return nullptr;
  return &task;
}

void ArgumentWaiter::object_ready(LocalObject& object) {
  Task* const t = task;
  --t->unresolved;
  if (object.status() == ObjectStatus::kError) {
    const ErrorInfo error = object.error();
    forget_arguments(*t);
    tracker->argument_failed(*t, error);
  } else if (t->unresolved == 0) {
    tracker->arguments_ready(*t);
  }
}

bool await_arguments(Task& task, CallTracker& tracker) {
  auto& dependencies = task.arguments.dependencies_;
  task.unresolved = 0;
  if (dependencies.empty()) return true;
  for (const auto& d : dependencies) {
    if (d.ref->status() != ObjectStatus::kError) continue;
    const ErrorInfo error = d.ref->error();
    tracker.argument_failed(task, error);
    return false;
  }
  // One waiter an object, or a failure could free a waiter that is about to be told.
  std::unordered_set<const LocalObject*> watched;
  for (std::size_t i = 0; i < dependencies.size(); ++i) {
    LocalObject& object = local(dependencies[i].ref);
    if (object.has_value() || !watched.insert(&object).second) continue;
    if (task.waiters == nullptr) task.waiters = std::make_unique<ArgumentWaiter[]>(dependencies.size());
    task.waiters[i].task = &task;
    task.waiters[i].tracker = &tracker;
    ++task.unresolved;
    object.add_waiter(task.waiters[i]);
  }
  return task.unresolved == 0;
}

void forget_arguments(Task& task) {
  if (task.waiters == nullptr) return;
  auto& dependencies = task.arguments.dependencies_;
  for (std::size_t i = 0; i < dependencies.size(); ++i) {
    if (task.waiters[i].task != nullptr) local(dependencies[i].ref).remove_waiter(task.waiters[i]);
  }
  task.unresolved = 0;
}

}  // namespace mobula::runtime
