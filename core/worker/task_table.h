#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/ids.h"
#include "core/worker/local_object.h"
#include "core/worker/messages.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

struct Peer;
class ActorState;
struct Task;

// Counts down the arguments that have no value yet.
struct ArgumentWaiter : Waiter {
  Task* task = nullptr;
  class CallTracker* tracker = nullptr;
  void object_ready(LocalObject& object) override;
};

// A call that this process has submitted and that has not ended: of a task, an actor's method, or a constructor.
struct Task {
  enum class State : std::uint8_t { kFree, kWaiting, kReady, kInFlight };

  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  State state = State::kFree;
  Target target = Target::kTask;
  bool cancelled = false;
  bool again = false;  // Its value was there and is lost.
  std::uint16_t returns = 1;
  OptionsHandle options = 0;
  std::uint32_t attempt = 0;
  std::uint32_t first_attempt = 0;  // Not 0: run again.
  std::int64_t retries = 0;         // Of tasks, after the first attempt; -1: for ever.
  std::uint32_t unresolved = 0;     // Arguments without a value.
  const FunctionEntry* function = nullptr;
  base::TaskId id;
  Arguments arguments;
  ObjectRef result;  // The first return.
  std::vector<ObjectRef> more_results;
  std::unique_ptr<ArgumentWaiter[]> waiters;
  std::unique_ptr<ErrorInfo> last_error;  // Of an attempt that is retried.
  Peer* worker = nullptr;                 // In flight there.
  std::shared_ptr<ActorState> actor;      // Target::kActor.
  std::uint64_t sequence = 0;

  std::uint64_t handle() const { return std::uint64_t{generation} << 32 | slot; }
  template <class F>
  void each_result(F&& f) {
    f(result);
    for (ObjectRef& r : more_results) f(r);
  }
};

// Tasks by slot.  Records are made in blocks, kept, and used again; a handle carries the slot's generation, so that a
// late reply finds nothing.
//
// Under the engine's lock.
class TaskTable {
 public:
  static constexpr std::uint32_t kSlotsMax = 1u << 26;

  Task& make();  // Ends the process with a message beyond kSlotsMax.
  void release(Task& task);
  Task* find(std::uint64_t handle);
  Task& at(std::uint32_t slot) { return blocks_[slot / kBlock][slot % kBlock]; }
  std::size_t live() const { return live_; }
  template <class F>
  void each_live(F&& f) {
    for (std::uint32_t s = 0; s < used_; ++s) {
      if (at(s).state != Task::State::kFree) f(at(s));
    }
  }

 private:
  static constexpr std::uint32_t kBlock = 256;
  std::vector<std::unique_ptr<Task[]>> blocks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t used_ = 0;
  std::size_t live_ = 0;
};

// Told when every argument of a call has a value, or one has an error.
class CallTracker {
 public:
  virtual void arguments_ready(Task& task) = 0;
  virtual void argument_failed(Task& task, const ErrorInfo& error) = 0;

 protected:
  ~CallTracker() = default;
};

// Watches the arguments of `task`; true when all have values already (and the tracker is told nothing), false when it
// waits or has failed.
bool await_arguments(Task& task, CallTracker& tracker);
// Stops watching.
void forget_arguments(Task& task);

}  // namespace mobula::runtime
