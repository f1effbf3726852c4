#include "core/worker/executor.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "core/os/log.h"
#include "core/os/process.h"

namespace mobula::runtime {
namespace {

constexpr int kExtraThreadsMax = 4096;

// REQUIRES: it has failed.
std::string text_of_failure(const RunningCall& call) {
  const auto error = base::decode_error_info(call.reply.view());
  return error && !error->what.empty() ? error->what : "an error without words";
}

std::uint64_t nanoseconds() { return static_cast<std::uint64_t>(os::now().time_since_epoch().count()); }

}  // namespace

// ---- receiving --------------------------------------------------------------------------------------

void Executor::on_call(Peer& from, const CallHeader& header, ConstBytes payload) {
  if (header.target == Target::kTask && (cpu_given_back_ || exiting_)) return replies_.send_back(from, header);
  if (header.target == Target::kActor && !actor_.is_called_by(header)) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kActorUnavailable;
    error.what = "this process is not the run of the actor that was called";
    return replies_.refuse(from, header, error);
  }
  RunningCall& call = pool_.take();
  if (!call.accept(from, header, payload)) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "the call's arguments are malformed";
    replies_.refuse(from, header, error);
    return pool_.give_back(call);
  }
  if (call.entry == nullptr) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "this binary has no function with id " + std::to_string(header.function);
    error.remedy = "driver and workers must run the same build; in plugins, load them before init()";
    replies_.refuse(from, header, error);
    return pool_.give_back(call);
  }
  enqueue(call);
}

void Executor::enqueue(RunningCall& call) {
  call.state = RunningCall::State::kReady;
  queue_.push(call);
  call.missing = 0;
  const auto each_open = [&call](auto&& f) {
    for (std::size_t i = 0; i < call.dependency_count_; ++i) {
      auto& dependency = call.dependencies_[i];
      if (!dependency.ref) continue;
      LocalObject& object = local(dependency.ref);
      if (object.status() == ObjectStatus::kReady && !dependency.counted) {
        call.arguments_[dependency.argument].view = object.view();
      } else if (!f(dependency, object)) {
        return;
      }
    }
  };
  // Two passes: fetching may end at once, and must not count down what is not counted yet.
  each_open([&call](RunningCall::Dependency& dependency, LocalObject&) {
    dependency.counted = true;
    ++call.missing;
    return true;
  });
  if (call.missing == 0) return p_.engine.notify();
  call.state = RunningCall::State::kWaiting;
  each_open([&](RunningCall::Dependency& dependency, LocalObject& object) {
    dependency.wants = Waiter::Wants::kLocal;
    if (object.status() == ObjectStatus::kReady || object.status() == ObjectStatus::kError) {
      dependency.object_ready(object);
    } else {
      object.add_waiter(dependency);
      p_.references.values().fetch(object);
    }
    return call.state == RunningCall::State::kWaiting;
  });
}

void Executor::arguments_here(RunningCall& call) {
  call.state = RunningCall::State::kReady;
  p_.engine.notify();
}

void Executor::argument_lost(RunningCall& call, const ErrorInfo& error) {
  if (call.state != RunningCall::State::kWaiting) return;
  call.fail(error);
  call.state = RunningCall::State::kReady;  // Its turn comes; it answers then, without running.
  p_.engine.notify();
}

void Executor::on_cancel(Peer& from, const CancelHeader& header) {
  const auto mine = [&](const RunningCall& c) { return c.from == &from && c.header.call == header.call; };
  if (RunningCall* const call = queue_.take_first(mine)) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kCancelled;
    error.what = "the call was cancelled before it began";
    call->fail(error);
    finish(*call);
    p_.engine.notify();  // Another may be first now.
    return;
  }
  const auto it = std::ranges::find_if(running_, [&](const RunningCall* c) { return mine(*c); });
  if (it == running_.end()) return;
  (*it)->cancelled_flag.store(true, std::memory_order_relaxed);
  if (header.recursive != 0) {
    const auto force = header.force != 0 ? Cancellation::Force::kYes : Cancellation::Force::kNo;
    (*it)->children_cancelled = force;
    p_.cancellation.cancel_children((*it)->scope, force);
  }
  if (header.force != 0 && header.call != 0 && (*it)->header.target == Target::kTask) {
    os::log(os::LogLevel::kInfo, "cancelled by force: ending this worker");
    ::_exit(143);
  }
  p_.engine.notify();
}

void Executor::send_back(RunningCall& call) {
  p_.metrics.calls_returned.add();
  replies_.send_back(*call.from, call.header);
  pool_.give_back(call);
}

void Executor::on_take_back(Peer& from) {
  // The next to run stays unless something runs already: giving it back would only send it round.
  bool keep = running_.empty();
  queue_.take_each(
      [&](const RunningCall& call) {
        return !std::exchange(keep, false) && call.from == &from && call.header.target == Target::kTask && !call.failed;
      },
      [this](RunningCall& call) { send_back(call); });
}

// Only when every thread that runs user code waits: a worker's CPU is one, whatever its threads.
void Executor::wait_began() {
  if (++blocked_ == executing_) give_cpu_back();
}

void Executor::wait_ended() {
  --blocked_;
  take_cpu();
}

void Executor::give_cpu_back() {
  if (cpu_given_back_) return;
  cpu_given_back_ = true;
  if (!actor_.exists()) {
    // What waits for a value that is made again would wait elsewhere as well.
    queue_.take_each([](const RunningCall& call) { return !call.waits_for_lost(); },
                     [this](RunningCall& call) { send_back(call); });
  }
  (void)p_.raylet.rpc().notify(proto::BLOCKED, proto::Empty());
}

// Whoever makes the value again may need this CPU: nothing else may be there.
void Executor::argument_sought() {
  if (executing_ == 0 && waits_for_lost()) give_cpu_back();
}

bool Executor::waits_for_lost() const {
  return queue_.any([](const RunningCall& call) { return call.waits_for_lost(); });
}

void Executor::take_cpu() {
  if (!cpu_given_back_) return;
  cpu_given_back_ = false;
  (void)p_.raylet.rpc().notify(proto::UNBLOCKED, proto::Empty());
}

void Executor::on_peer_lost(Peer& peer) {
  queue_.take_each([&](const RunningCall& call) { return call.from == &peer; },
                   [this](RunningCall& call) { pool_.give_back(call); });
}

std::vector<ObjectRef> Executor::covered_by(const Peer& peer) const {
  std::vector<ObjectRef> covered;
  for (const RunningCall* call : running_) {
    if (call->from == &peer) covered.insert(covered.end(), call->adopted.begin(), call->adopted.end());
  }
  return covered;
}

// ---- running ----------------------------------------------------------------------------------------

bool Executor::is_ordered() const { return actor_.exists() || (!queue_.empty() && queue_.front().from == nullptr); }

int Executor::suspended_max() const {
  return actor_.max_concurrency() > 1 ? actor_.max_concurrency() : kSuspendedMaxDefault;
}

bool Executor::has_call() const {
  if (saves_.holds_calls()) return false;
  const bool ordered = is_ordered();
  if (ordered && suspended_ >= suspended_max()) return false;
  return queue_.has_ready(ordered ? CallQueue::Order::kStrict : CallQueue::Order::kReadyFirst);
}

RunningCall* Executor::next() {
  if (saves_.holds_calls()) return nullptr;
  const bool ordered = is_ordered();
  if (ordered && suspended_ >= suspended_max()) return nullptr;
  return queue_.take_ready(ordered ? CallQueue::Order::kStrict : CallQueue::Order::kReadyFirst);
}

bool Executor::has_work() const { return may_save() || !continuations_.empty() || has_call() || may_leave(); }

bool Executor::run_continuation(Engine::Lock& lock) {
  if (continuations_.empty()) return false;
  const Resumption next = continuations_.front();
  continuations_.pop_front();
  ++executing_;
  lock.unlock();
  CallScope* const outer = std::exchange(current_scope(), next.scope);
  next.continuation->resume();
  current_scope() = outer;
  lock.lock();
  --executing_;
  return true;
}

void Executor::queue_continuation(Continuation& continuation, CallScope* scope) {
  continuations_.push_back({&continuation, scope});
  p_.engine.notify();
}

void Executor::run() {
  Engine::Lock lock(p_.engine);
  for (;;) {
    // Coroutines that all wait for others hold no CPU either.
    p_.engine.wait(
        lock, [this] { return has_work(); }, std::nullopt,
        [this] {
          if (executing_ == 0 && (suspended_ != 0 || waits_for_lost())) give_cpu_back();
        });
    take_cpu();
    if (may_leave()) {
      leave_or_stay(lock);
      continue;
    }
    if (may_save()) {
      saves_.run(lock);
      continue;
    }
    if (run_continuation(lock)) continue;
    if (RunningCall* call = next()) run_one(lock, *call);
    // Before the next: what came meanwhile may be its cancellation.
    if (!queue_.empty()) p_.engine.progress();
  }
}

void Executor::work(Engine::Lock& lock) {
  const auto first_is_ready = [this] { return !saves_.holds_calls() && queue_.has_ready(CallQueue::Order::kStrict); };
  for (;;) {
    p_.engine.wait(lock, first_is_ready, std::nullopt);
    if (RunningCall* call = next()) run_one(lock, *call);
  }
}

void Executor::run_one(Engine::Lock& lock, RunningCall& call) {
  if (call.failed) return finish(call);
  call.state = RunningCall::State::kRunning;
  call.holds = 1;
  p_.metrics.calls_run.add();
  ++executing_;
  running_.push_back(&call);
  lock.unlock();
  CallScope* const outer = std::exchange(current_scope(), &call.scope);
  p_.engine.user_code_began();
  const std::uint64_t began = nanoseconds();
  call.entry->invoke(call);
  call.end_if_copy();
  if (call.from == nullptr && !call.failed) {
    if (const auto failed = saves_.restore()) call.fail(*failed);
  }
  const std::uint64_t ran = nanoseconds() - began;
  p_.engine.user_code_ended();
  current_scope() = outer;
  lock.lock();
  call.run_ns = ran;
  --executing_;
  if (may_save()) p_.engine.notify();  // The main thread has waited for this one.
  if (--call.holds == 0) return finish(call);
  call.state = RunningCall::State::kSuspended;
  ++suspended_;
}

void Executor::suspend(RunningCall& call) {
  Engine::Lock lock(p_.engine);
  ++call.holds;
}

void Executor::resume_ended(RunningCall& call) {
  Engine::Lock lock(p_.engine);
  if (--call.holds != 0) return;  // It ended inside invoke(): run_one() goes on with it.
  --suspended_;
  finish(call);
}

// ---- answering --------------------------------------------------------------------------------------

void Executor::finish(RunningCall& call) {
  std::erase(running_, &call);
  call.state = RunningCall::State::kAnswering;
  // Those that it submitted before it saw that it is cancelled.
  if (call.children_cancelled) p_.cancellation.cancel_children(call.scope, *call.children_cancelled);
  if (!call.delivered) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "the call ended without a result";
    call.fail(error);
  }
  if (ended_ && actor_.exists() && call.from != nullptr) ended_(call.failed ? text_of_failure(call) : std::string());
  // What the call's arguments brought and what somebody here still holds is borrowed from now on; the caller's own
  // hold, which ends with the reply, covers it until the owner knows.
  call.arguments_.clear();
  for (std::size_t i = 0; i < call.dependency_count_; ++i) {
    auto& dependency = call.dependencies_[i];
    if (dependency.ref)
      local(dependency.ref).remove_waiter(dependency);  // It failed, or was cancelled, while it waited.
    dependency.ref = ObjectRef();
  }
  for (const ObjectRef& ref : call.adopted) {
    LocalObject& object = local(ref);
    if (object.borrowed() && !ref->only_reference()) p_.references.borrows().borrow(object);
  }
  call.adopted.clear();
  // Handles of actors were borrowed when they were read; in the steady state no borrow is open and the reply leaves at
  // once.
  p_.references.borrows().after_borrows([this, &call] { answer(call); });
}

void Executor::answer(RunningCall& call) {
  if (call.from == nullptr) {
    actor_.constructed(call.error);
  } else {
    replies_.send(call);
  }
  pool_.give_back(call);
}

// ---- actors -----------------------------------------------------------------------------------------

void Executor::create_actor(const proto::CreateActor& request) {
  const proto::ActorSpec& spec = request.spec();
  const auto id = base::ActorId::from_string(spec.actor_id());
  const auto job = base::JobId::from_string(spec.job_id());
  const FunctionEntry* constructor = find_function(spec.constructor());
  ErrorInfo error;
  error.kind = base::ErrorKind::kInvalid;
  if (!id || !job || constructor == nullptr) {
    error.what = "this binary has no class " + spec.class_name();
    error.remedy = "driver and workers must run the same build";
    return actor_.refuse(request, error);
  }
  actor_.become(*id, request);
  RunningCall& call = pool_.take();
  // The arguments were aligned for nobody: accept_constructor copies them.
  if (!call.accept_constructor(*constructor, base::TaskId::from_bytes(id->words.data()), *job,
                               base::as_bytes(spec.arguments()))) {
    pool_.give_back(call);
    error.what = "the constructor's arguments are malformed";
    return actor_.refuse(request, error);
  }
  for (int i = 1; i < std::min(actor_.max_concurrency(), kExtraThreadsMax); ++i) {
    threads_.emplace_back([this] {
      Engine::Lock lock(p_.engine);
      work(lock);
    });
  }
  enqueue(call);
}

bool Executor::holds_up(const base::TaskId& id) const {
  return actor_.exists() && actor_.max_concurrency() == 1 &&
         queue_.any([&](const RunningCall& call) { return call.header.task == id; });
}

std::string Executor::describe_running() const {
  std::string out;
  for (const RunningCall* call : running_) {
    if (!out.empty()) out += ", ";
    out += (call->state == RunningCall::State::kSuspended ? "waiting in " : "running ") + function_name(*call->entry);
  }
  return out.empty() ? "running nothing" : out;
}

bool Executor::may_leave() const { return exiting_ && queue_.empty() && running_.empty() && continuations_.empty(); }

// A task may have left objects, actors and calls of its own behind, which end with their owner.
void Executor::leave_or_stay(Engine::Lock& lock) {
  if (actor_.exists() || !needed_ || !needed_()) leave(lock);
  exiting_ = false;
  (void)p_.raylet.rpc().notify(proto::WORKER_READY, proto::Empty());
}

// An actor ends as an object of C++ does.
void Executor::leave(Engine::Lock& lock) {
  if (auto instance = actor_.take_instance()) {
    (void)p_.raylet.rpc().notify(proto::WORKER_LEAVING, proto::Empty());
    p_.engine.progress();
    lock.unlock();
    instance.reset();
  }
  std::fflush(nullptr);
  ::_exit(0);
}

void Executor::exit_when_idle() {
  exiting_ = true;
  p_.engine.notify();
}

}  // namespace mobula::runtime
