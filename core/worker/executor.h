#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/worker/actor_saves.h"
#include "core/worker/call_pool.h"
#include "core/worker/call_queue.h"
#include "core/worker/cancellation.h"
#include "core/worker/engine.h"
#include "core/worker/hosted_actor.h"
#include "core/worker/references.h"
#include "core/worker/replies.h"
#include "core/worker/running_call.h"

namespace mobula::runtime {

// Runs what this worker is sent: tasks, or one actor's constructor and methods.
//
// Calls run in the order in which they came, on the main thread; an actor with max_concurrency n has n - 1 threads
// more. Coroutines are resumed by the main thread.  The driver has an Executor too, for its coroutines.
class Executor {
 public:
  struct Parts {
    Engine& engine;
    Links& links;
    References& references;
    LocalStore& store;
    RayletLink& raylet;
    Cancellation& cancellation;
    ProcessMetrics& metrics;
    const SavedState& saved_state;
  };
  explicit Executor(Parts parts)
      : p_(parts),
        pool_(*this),
        replies_(parts.links, parts.references),
        actor_(parts.raylet),
        saves_(parts.engine, actor_, parts.saved_state) {
    p_.references.borrows().on_handed_over(
        [this](Peer& to, std::uint64_t call) { replies_.on_references_held(to, call); });
    p_.references.values().on_sought([this] { argument_sought(); });
  }

  // The worker's main loop: never returns.
  [[noreturn]] void run();
  bool has_continuation() const { return !continuations_.empty(); }
  // One continuation, if there is one; for threads that wait in the driver.  The lock is given up while it runs.
  bool run_continuation(Engine::Lock& lock);

  // ---- under the engine's lock
  void on_call(Peer& from, const CallHeader& header, ConstBytes payload);
  void on_cancel(Peer& from, const CancelHeader& header);
  void on_take_back(Peer& from);
  void on_peer_lost(Peer& peer);
  // The references in our replies to `peer` that it has not taken over; forgets them.
  std::vector<ObjectRef> take_returned(Peer& peer) { return replies_.take_returned(peer); }
  // The references that its calls under way have brought.
  std::vector<ObjectRef> covered_by(const Peer& peer) const;
  void create_actor(const proto::CreateActor& request);
  void save_state(const proto::SaveState& request, const rpc::Responder& responder) { saves_.ask(request, responder); }
  // Ends the process when nothing runs or waits, unless others need it; then the raylet is told that it stays.
  void exit_when_idle();
  // Whether others need this process although it runs nothing.  Once.
  void stays_while(std::function<bool()> needed) { needed_ = std::move(needed); }
  void queue_continuation(Continuation& continuation, CallScope* scope);

  // Around a blocking wait in a task: gives the CPU and the tasks that wait behind this one back, and takes the CPU
  // again.
  void wait_began();
  void wait_ended();

  // Told under the engine's lock of each call of the actor that has ended, and what it has thrown.  Once.
  void tell_ends_to(std::function<void(std::string)> listener) { ended_ = std::move(listener); }
  bool is_idle() const { return running_.empty() && queue_.empty(); }
  // Whether that call is here and can only begin when the one that the calling thread runs has ended.
  bool holds_up(const base::TaskId& id) const;

  // The user's functions that run now, for people.
  std::string describe_running() const;

  const Parts& parts() const { return p_; }
  HostedActor& actor() { return actor_; }

  // ---- called by RunningCall
  void arguments_here(RunningCall& call);
  void argument_lost(RunningCall& call, const ErrorInfo& error);
  void suspend(RunningCall& call);
  void resume_ended(RunningCall& call);  // The last holder of a suspended call let go of it; any thread.

 private:
  static constexpr int kSuspendedMaxDefault = 1000;  // Coroutine calls under way at once, where nothing else is said.

  void argument_sought();
  bool waits_for_lost() const;
  void give_cpu_back();
  void take_cpu();
  void send_back(RunningCall& call);
  void enqueue(RunningCall& call);
  bool is_ordered() const;
  int suspended_max() const;
  bool has_call() const;
  bool has_work() const;
  bool may_leave() const;
  void leave_or_stay(Engine::Lock& lock);
  [[noreturn]] void leave(Engine::Lock& lock);
  bool may_save() const { return saves_.is_due() && executing_ == 0; }
  RunningCall* next();
  void work(Engine::Lock& lock);
  void run_one(Engine::Lock& lock, RunningCall& call);
  void finish(RunningCall& call);
  void answer(RunningCall& call);

  Parts p_;
  CallPool pool_;
  Replies replies_;
  HostedActor actor_;
  ActorSaves saves_;
  CallQueue queue_;
  std::vector<RunningCall*> running_;  // And suspended.
  struct Resumption {
    Continuation* continuation;
    CallScope* scope;
  };
  std::deque<Resumption> continuations_;
  int suspended_ = 0;
  int executing_ = 0;  // Threads in user code,
  int blocked_ = 0;    // and those of them that wait in get().
  bool cpu_given_back_ = false;
  bool exiting_ = false;
  std::function<void(std::string)> ended_;
  std::function<bool()> needed_;
  std::vector<std::thread> threads_;
};

}  // namespace mobula::runtime
