#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>

#include "core/worker/engine.h"
#include "core/worker/executor.h"
#include "core/worker/references.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

// Waiting for objects: user threads that block until values are there, coroutines that are resumed then.
//
// Any thread; takes the engine's lock itself, and not at all where nothing has to be waited for.
class Waits {
 public:
  enum class Continuations { kElsewhere, kWhileWaiting };  // In a driver, threads that wait resume its coroutines.

  Waits(Engine& engine, References& references, Executor& executor, Continuations continuations)
      : engine_(engine), references_(references), executor_(executor), continuations_(continuations) {}

  // Both as in Runtime.
  std::size_t wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline, FetchLocal fetch);
  bool when_ready(const ObjectRef& ref, Continuation& continuation);

 private:
  void want(const ObjectRef& ref, FetchLocal fetch);
  bool block(Engine::Lock& lock, const std::function<bool()>& done, std::optional<Time> deadline);
  std::size_t wait_for_all(Engine::Lock& lock, std::span<const ObjectRef> refs, std::optional<Time> deadline,
                           FetchLocal fetch);
  std::size_t wait_for_some(Engine::Lock& lock, std::span<const ObjectRef> refs, std::size_t count,
                            std::optional<Time> deadline, FetchLocal fetch);

  Engine& engine_;
  References& references_;
  Executor& executor_;
  const Continuations continuations_;
};

}  // namespace mobula::runtime
