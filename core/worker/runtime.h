#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/error_info.h"
#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"
#include "core/base/result.h"
#include "core/worker/codec.h"
#include "core/worker/collective_runtime.h"
#include "core/worker/function_table.h"
#include "core/worker/object.h"
#include "core/worker/persistence.h"

// What the public templates stand on: everything below this header is compiled once.
//
// Threads: every function may be called from any thread unless it says otherwise.  None throws.

namespace mobula::runtime {

using base::ActorId;
using base::Result;
using base::TaskId;
using base::Time;

inline constexpr std::size_t kInlineBytesMax = 100 * 1024;  // Longer values live in the node's store.

// Options as they travel: owning, complete, defaults resolved by the API.
struct NodeAffinity {
  std::string node;
  bool soft = false;
};
struct Spread {};
struct Strategy {
  std::variant<std::monostate, Spread, NodeAffinity> kind;    // monostate: pack, then spread.
  std::map<std::string, std::string> labels;                  // Selectors "v", "!v", "in(a,b)", "!in(a,b)".
  std::vector<std::map<std::string, std::string>> fallbacks;  // Instead of `labels`, in turn.
  std::map<std::string, std::string> beside;                  // Selectors on the labels of the actors of a node.
  int priority = 0;
  bool operator==(const Strategy&) const = default;
};
inline bool operator==(const NodeAffinity& a, const NodeAffinity& b) { return a.node == b.node && a.soft == b.soft; }
inline bool operator==(const Spread&, const Spread&) { return true; }

struct TaskSpecOptions {
  base::Resources resources;  // cpus, gpus, memory and the user's own.
  int max_retries = 3;        // After worker death; -1: for ever.
  bool retry_exceptions = false;
  std::string name;  // For people; empty: the function's.
  Strategy strategy;
  base::PlacementGroupId placement_group;
  int bundle = -1;
  std::optional<base::Duration> estimate;
  bool operator==(const TaskSpecOptions&) const = default;
};
// A scheduling class: equal options share leases.  Interned once (a static in the call site or a cache), so that a
// call carries a small number.
using OptionsHandle = std::uint32_t;
inline constexpr OptionsHandle kDefaultTaskOptions = 0;  // cpus = 1, three retries.

struct ActorSpecOptions {
  base::Resources resources;
  int max_restarts = 0;
  int max_task_retries = 0;
  int max_concurrency = 1;
  std::int64_t max_pending_calls = -1;
  std::string name;
  std::string ns;  // Empty: the job's own namespace.
  bool get_if_exists = false;
  bool detached = false;
  Strategy strategy;
  base::PlacementGroupId placement_group;
  int bundle = -1;
  std::map<std::string, std::string> labels;  // Its own.
};

// A counted handle to an actor; the actor ends when the last one in any process is gone, unless detached.
class ActorState;
class ActorRef {
 public:
  ActorRef() = default;
  explicit ActorRef(std::shared_ptr<ActorState> state) : state_(std::move(state)) {}
  explicit operator bool() const { return state_ != nullptr; }
  const std::shared_ptr<ActorState>& state() const { return state_; }
  const ActorId& id() const;

 private:
  std::shared_ptr<ActorState> state_;
};

// The arguments of a call in order.  Each is sent plain (its meta stream), as a payload, or as a reference whose
// value the runtime brings.
class Arguments {
 public:
  void add(Encoder&& value);  // Sends it inline, or puts it into the store when longer than kInlineBytesMax.
  // `converter` is 0 when the parameter's type is the object's.
  void add(const ObjectRef& ref, std::uint64_t converter);
  // A trivially copyable value: the shortest way.
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void add_plain(const T& value) {
    bytes_.put(kPlain);
    bytes_.put(static_cast<std::uint32_t>(sizeof value));
    bytes_.put(value);
    ++count_;
  }

  static constexpr std::uint8_t kPlain = 0, kPayload = 1, kRef = 2;
  struct Dependency {
    ObjectRef ref;
    std::uint64_t converter;
  };

  base::Buffer bytes_;  // count_ x (u8 kind, then u32 size and bytes | u32 dependency).
  std::vector<Dependency> dependencies_;
  std::vector<ObjectRef> contained_;  // References inside values: held until the call has ended.
  std::uint32_t count_ = 0;
  std::unique_ptr<ErrorInfo> failure_;  // An argument could not be stored; the call fails with it.
};

// One argument as the worker sees it.
struct ArgumentView {
  View view;
  bool plain = true;  // view.bytes is a meta stream, else a payload.
  std::uint64_t converter = 0;
  Decoder decoder() const { return plain ? Decoder::plain(view.bytes) : Decoder::payload(view); }
};

// Writable memory that becomes an object without a copy: in the node's store when long, else on the heap.  Aligned
// to 64.  Given back when destroyed unsealed.
class WritableObject {
 public:
  virtual ~WritableObject() = default;
  virtual Bytes bytes() = 0;  // Where the payload goes, the requested size.
};

// One run of a user's function on a worker.  Belongs to the thread that runs it, or, once suspended, to the thread
// that resumes it.
class Invocation {
 public:
  virtual ~Invocation() = default;

  virtual std::size_t argument_count() const = 0;
  virtual const ArgumentView& argument(std::size_t i) const = 0;  // REQUIRES: i < argument_count().

  virtual void* instance() = 0;                                                                   // Methods: the actor.
  virtual void set_instance(std::shared_ptr<void> instance, const Persistence& persistence) = 0;  // Constructors.

  // Results 0, 1, ...: each handed over once.  A function that returns void hands over none for its index 0
  // by returning an empty encoder.
  virtual void result(std::uint32_t index, Encoder&& value) = 0;
  virtual void result(std::uint32_t index, std::unique_ptr<WritableObject> sealed) = 0;
  virtual void fail(const ErrorInfo& error) = 0;  // Instead of results.
  // An argument's bytes did not decode to its type.
  virtual void bad_argument(std::size_t i) = 0;

  // For coroutines: keeps this invocation beyond invoke().  The holder calls result() or fail() later, on the thread
  // that runs continuations, and then drops it.
  virtual std::shared_ptr<Invocation> suspend() = 0;
  virtual bool cancelled() const = 0;
};

// Resumes a coroutine: queued when its object settles, run by the worker's or driver's executing thread, never from
// inside the call that registered it.
class Continuation {
 public:
  virtual void resume() = 0;

 protected:
  ~Continuation() = default;
};

struct TaskContext {
  base::JobId job;
  TaskId task;
  ActorId actor;  // Nil outside actors.
  base::NodeId node;
  base::WorkerId worker;
  std::uint32_t attempt = 0;
  std::string ns;
};

// The run of the same job, or of the same program, that this one goes on from.
struct ResumedRun {
  unsigned run = 0;
  std::string directory;
};

struct GroupSpecOptions {
  enum class Placement : std::uint8_t { kPack, kSpread, kStrictPack, kStrictSpread };
  Placement placement = Placement::kPack;
  std::string level = "node";
  std::vector<base::Resources> bundles;
  std::string name;
  std::string ns;  // Empty: the job's own namespace.
  bool detached = false;
  bool capture_child_tasks = false;
  std::uint32_t members = 0;  // It goes when so many actors inside have died for good; 0: never by that.
  std::map<std::string, std::string> labels;  // Selectors, of the nodes that may serve.
};
struct GroupHandleInfo {
  base::PlacementGroupId id;
  std::uint32_t bundles = 0;
};

// Placement groups, where a runtime has them.
class PlacementGroups {
 public:
  // Blocks until the GCS knows it, not until it is created.
  virtual Result<GroupHandleInfo> create_group(const GroupSpecOptions& options) = 0;
  virtual Result<GroupHandleInfo> get_group(const std::string& name, const std::string& ns) = 0;
  // Settles without a value once every bundle is there, with an error when that can never be.
  virtual ObjectRef group_ready(const base::PlacementGroupId& group) = 0;
  virtual Result<void> remove_group(const base::PlacementGroupId& group) = 0;  // Blocks until the GCS has done it.

 protected:
  ~PlacementGroups() = default;
};

enum class FetchLocal { kNo, kYes };

// A process of a job: the driver or a worker.
class Runtime {
 public:
  virtual ~Runtime() = default;

  // ---- calls.  `out` gets one reference per return, at least one.  Submission never fails: what goes wrong is the
  // error of the references.
  virtual OptionsHandle intern(const TaskSpecOptions& options) = 0;
  virtual void submit(const FunctionEntry& function, OptionsHandle options, Arguments&& arguments,
                      std::span<ObjectRef> out) = 0;
  virtual Result<ActorRef> create_actor(const FunctionEntry& constructor, const ActorSpecOptions& options,
                                        Arguments&& arguments) = 0;
  virtual void call(const ActorRef& actor, const FunctionEntry& method, Arguments&& arguments,
                    std::span<ObjectRef> out) = 0;
  // Waits until the name is known or `deadline`; kNotFound when the GCS has no such name.
  virtual Result<ActorRef> get_actor(const std::string& name, const std::string& ns) = 0;
  virtual void kill(const ActorRef& actor, bool no_restart) = 0;
  virtual void cancel(const ObjectRef& ref, bool force, bool recursive) = 0;

  // ---- objects.
  virtual Result<ObjectRef> put(Encoder&& value) = 0;
  virtual Result<std::unique_ptr<WritableObject>> allocate(std::size_t payload_bytes) = 0;
  virtual ObjectRef seal(std::unique_ptr<WritableObject> object) = 0;

  // ---- groups.  Null where there are none.
  virtual CollectiveRuntime* collectives() = 0;

  // Blocks until `count` of the refs are settled (with kYes: their bytes here, or in error) or the deadline has
  // passed (nullopt: never).  Returns how many are.  In a task the worker's CPU is given back meanwhile.
  virtual std::size_t wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                           FetchLocal fetch) = 0;
  // Registers a continuation and returns true, or returns false because the bytes are here, or an error is.
  virtual bool when_ready(const ObjectRef& ref, Continuation& continuation) = 0;

  virtual PlacementGroups* placement_groups() { return nullptr; }  // Null where there are none.

  // ---- about us.
  // Whether somebody asked that the calling thread's task stop: its waits then end early.
  virtual bool cancelled() const { return false; }
  // Why the calling thread's last wait has ended before its time; nullopt: its time was over.
  virtual std::optional<ErrorInfo> why_wait_ended() const { return std::nullopt; }
  // Before the job ends by a signal or for lack of time; kInvalid in workers.
  virtual Result<void> on_preempt(std::function<void()> callback) {
    static_cast<void>(callback);
    return base::Error{base::Code::kInvalid, "nothing ends this process by preemption"};
  }
  virtual bool preempted() const { return false; }
  // State that outlives the job: saved_state.h.
  virtual Result<void> save_state(std::string_view name, ConstBytes bytes) = 0;
  virtual Result<std::vector<std::byte>> load_state(std::string_view name) = 0;
  virtual std::optional<ResumedRun> resumed() const { return std::nullopt; }
  // Until the cluster's time is over, as it is known now; nullopt: nobody knows of an end.
  virtual std::optional<base::Duration> time_left() const { return std::nullopt; }
  virtual TaskContext context() const = 0;  // Of the calling thread's task; the driver's own outside one.
  // Nodes, resources, settings, as `mobula status --json` prints them.
  virtual Result<std::string> cluster_status_json() = 0;
};

// This process's runtime: set by init(), gone when the session ends.  The public API is made of free functions, so
// there is one per process, and no other global but the function table.
//
// Held while a call uses it: the end of the session, which another thread may bring about meanwhile, waits for those
// that hold it, and ends their waits.
class RuntimeUse {
 public:
  RuntimeUse();
  ~RuntimeUse();
  RuntimeUse(const RuntimeUse&) = delete;
  RuntimeUse& operator=(const RuntimeUse&) = delete;
  explicit operator bool() const { return runtime_ != nullptr; }  // False before init and after the session.
  Runtime& operator*() const { return *runtime_; }
  Runtime* operator->() const { return runtime_; }

 private:
  Runtime* runtime_;
};
// Why there is none.
enum class NoRuntime {
  kNotYet,
  kNoMore,
  kForked
};  // kForked: there is one in the process that this one was copied from.
NoRuntime why_no_runtime();

// ---- init.
struct InitOptions {
  unsigned nodes = 1;         // Embedded: raylets to start on this machine.
  bool all_ranks = false;     // SPMD under a launcher.
  bool exec_workers = false;  // Never fork workers from a zygote.
  std::map<std::string, std::string> settings;
};
class SessionImpl {
 public:
  virtual ~SessionImpl() = default;  // Drains and ends what init() started.
  // Among the processes in which init() has returned.
  virtual std::uint32_t rank() const { return 0; }
  virtual std::uint32_t size() const { return 1; }
};
// Finds out what this process is.  Returns only in a driver.
Result<std::unique_ptr<SessionImpl>> init(int& argc, char**& argv, const InitOptions& options);

}  // namespace mobula::runtime
