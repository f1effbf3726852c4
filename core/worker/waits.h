#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"
#include "core/worker/task_table.h"

namespace mobula::runtime {

// Waiting for objects: user threads that block until values are there, coroutines that are resumed then.
//
// Any thread; takes the engine's lock itself, and not at all where nothing has to be waited for.
class Waits {
 public:
  enum class Continuations { kElsewhere, kWhileWaiting };  // In a driver, threads that wait resume its coroutines.

  Waits(Engine& engine, References& references, Executor& executor, TaskTable& tasks, Continuations continuations)
      : engine_(engine), references_(references), executor_(executor), tasks_(tasks), continuations_(continuations) {}

  // Both as in Runtime.
  std::size_t wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline, FetchLocal fetch);
  bool when_ready(const ObjectRef& ref, Continuation& continuation);

 private:
  void want(const ObjectRef& ref, FetchLocal fetch);
  // `spare`: how many of the refs need not settle.
  struct Wanted {
    std::span<const ObjectRef> refs;
    std::size_t spare = 0;
  };
  std::vector<base::TaskId> calls_to_ourselves(const Wanted& wanted) const;
  bool block(Engine::Lock& lock, const std::function<bool()>& done, const Wanted& wanted, std::optional<Time> deadline);
  std::size_t wait_for_all(Engine::Lock& lock, std::span<const ObjectRef> refs, std::optional<Time> deadline,
                           FetchLocal fetch);
  std::size_t wait_for_some(Engine::Lock& lock, std::span<const ObjectRef> refs, std::size_t count,
                            std::optional<Time> deadline, FetchLocal fetch);

  Engine& engine_;
  References& references_;
  Executor& executor_;
  TaskTable& tasks_;
  const Continuations continuations_;
};

}  // namespace mobula::runtime
