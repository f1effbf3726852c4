#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/os/forks.h"
#include "core/worker/call_body.h"
#include "core/worker/cancellation.h"
#include "core/worker/links.h"
#include "core/worker/local_object.h"
#include "core/worker/messages.h"
#include "core/worker/runtime.h"
#include "core/worker/thread_context.h"
#include "objstore/store.h"

namespace mobula::runtime {

class Executor;

// A call that this worker has received: waits for its arguments, runs, and answers.  Kept and used again, so that a
// call allocates little.
//
// The fields of the message and the state belong to the engine's lock until the call runs, then to the thread that runs
// it.
class RunningCall final : public Invocation {
 public:
  enum class State : std::uint8_t { kFree, kWaiting, kReady, kRunning, kSuspended, kAnswering };

  explicit RunningCall(Executor& executor) : executor_(executor) {}

  // Takes a message; false when it is malformed.
  bool accept(Peer& from, const CallHeader& header, ConstBytes payload);
  // The same for a constructor, whose arguments came from the GCS.
  bool accept_constructor(const FunctionEntry& entry, const base::TaskId& task, const base::JobId& job,
                          ConstBytes spec);
  void reset();

  std::size_t argument_count() const override { return arguments_.size(); }
  const ArgumentView& argument(std::size_t i) const override { return arguments_[i]; }
  void* instance() override;
  void set_instance(std::shared_ptr<void> instance, const Persistence& persistence) override;
  void result(std::uint32_t index, Encoder&& value) override;
  void result(std::uint32_t index, std::unique_ptr<WritableObject> sealed) override;
  void fail(const ErrorInfo& error) override;
  void bad_argument(std::size_t i) override;
  std::shared_ptr<Invocation> suspend() override;
  bool cancelled() const override { return cancelled_flag.load(std::memory_order_relaxed); }

  // It waits for an argument that its owner has made again.
  bool waits_for_lost() const;
  // The user's code has called fork() and both processes come back from it: the copy is no worker, and ends.
  void end_if_copy() const;

  // A reference that came in an argument of this call.
  void note_adopted(const ObjectRef& ref) { adopted.push_back(ref); }

  State state = State::kFree;
  std::size_t pool_index = 0;  // Where the executor keeps it.
  Peer* from = nullptr;        // Null for constructors.
  CallHeader header;
  const FunctionEntry* entry = nullptr;
  CallScope scope;
  base::Buffer reply;  // Returns in order; or an encoded ErrorInfo when failed.
  bool failed = false;
  bool delivered = false;
  std::optional<ErrorInfo> error;  // Of a constructor.
  std::uint64_t run_ns = 0;
  bool waits_for_itself = false;  // Its last wait was for a call that only begins when this one has ended.
  bool has_waited = false;        // The user's code may have got values that the caller does not hold.
  int holds = 0;                  // Of the thread that runs it, and of its coroutine.
  std::uint32_t missing = 0;      // Arguments whose bytes are not here.
  std::vector<ObjectRef> adopted;
  std::vector<ObjectRef> returned;  // References inside results.
  std::atomic<bool> cancelled_flag{false};
  std::optional<Cancellation::Force> children_cancelled;

 private:
  struct Dependency : Waiter {
    void object_ready(LocalObject& object) override;
    RunningCall* call = nullptr;
    std::size_t argument = 0;
    bool counted = false;  // In RunningCall::missing.
    ObjectRef ref;
  };
  friend class Executor;

  bool parse(ConstBytes payload, std::uint32_t count, std::size_t argument_bytes, std::size_t dependencies);
  void depend_on(CallBody::Argument& argument, Dependency& dependency, ArgumentView& view);
  void append_result(std::uint32_t index, const Returned& head, ConstBytes bytes);
  void store_result(std::uint32_t index, const Encoder& value);
  void seal_result(std::uint32_t index, objstore::Allocation& allocation);
  void fail_full(std::size_t size, const std::string& why);
  void describe(ErrorInfo& error) const;

  Executor& executor_;
  const std::uint32_t generation_ = os::fork_generation();
  base::Buffer payload_;
  std::vector<ArgumentView> arguments_;
  std::unique_ptr<Dependency[]> dependencies_;
  std::size_t dependency_count_ = 0;
  std::uint32_t next_result_ = 0;
};

}  // namespace mobula::runtime
