#include "core/worker/executor.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/os/log.h"
#include "core/os/process.h"

namespace mobula::runtime {
namespace {

constexpr std::size_t kCallsKept = 64;
constexpr int kExtraThreadsMax = 4096;

std::uint64_t nanoseconds() { return static_cast<std::uint64_t>(os::now().time_since_epoch().count()); }

}  // namespace

// ---- receiving --------------------------------------------------------------------------------------

RunningCall& Executor::take_free() {
  if (free_.empty()) {
    pool_.push_back(std::make_unique<RunningCall>(*this));
    pool_.back()->pool_index = pool_.size() - 1;
    free_.push_back(pool_.back().get());
  }
  RunningCall& call = *free_.back();
  free_.pop_back();
  return call;
}

void Executor::give_back(RunningCall& call) {
  call.reset();
  call.state = RunningCall::State::kFree;
  if (free_.size() < kCallsKept || pool_.empty()) {
    free_.push_back(&call);
    return;
  }
  const std::size_t at = call.pool_index;
  std::swap(pool_[at], pool_.back());
  pool_[at]->pool_index = at;
  pool_.pop_back();
}

void Executor::refuse(Peer& from, const CallHeader& header, ErrorInfo error) {
  ReplyHeader reply;
  reply.status = CallStatus::kError;
  reply.call = header.call;
  base::Buffer payload;
  encode(error, payload);
  p_.links.send(from, Hot::kReply, base::object_bytes(reply), payload.view());
}

void Executor::on_call(Peer& from, const CallHeader& header, ConstBytes payload) {
  if (header.target == Target::kTask && (cpu_given_back_ || exiting_)) {
    ReplyHeader reply;
    reply.status = CallStatus::kReturned;
    reply.call = header.call;
    p_.links.send(from, Hot::kReply, base::object_bytes(reply), {});
    return;
  }
  if (header.target == Target::kActor && (actor_.is_nil() || header.incarnation != incarnation_)) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kActorUnavailable;
    error.what = "this process is not the run of the actor that was called";
    return refuse(from, header, std::move(error));
  }
  RunningCall& call = take_free();
  if (!call.accept(from, header, payload)) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "the call's arguments are malformed";
    refuse(from, header, std::move(error));
    return give_back(call);
  }
  if (call.entry == nullptr) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "this binary has no function with id " + std::to_string(header.function);
    error.remedy = "driver and workers must run the same build; in plugins, load them before init()";
    refuse(from, header, std::move(error));
    return give_back(call);
  }
  enqueue(call);
}

void Executor::enqueue(RunningCall& call) {
  call.state = RunningCall::State::kReady;
  queue_.push_back(&call);
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
  const auto mine = [&](const RunningCall* c) { return c->from == &from && c->header.call == header.call; };
  if (const auto it = std::ranges::find_if(queue_, mine); it != queue_.end()) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kCancelled;
    error.what = "the call was cancelled before it began";
    RunningCall& call = **it;
    queue_.erase(it);
    call.fail(error);
    finish(call);
    p_.engine.notify();  // Another may be first now.
    return;
  }
  const auto it = std::ranges::find_if(running_, mine);
  if (it == running_.end()) return;
  (*it)->cancelled_flag.store(true, std::memory_order_relaxed);
  if (header.force != 0 && header.call != 0 && (*it)->header.target == Target::kTask) {
    os::log(os::LogLevel::kInfo, "cancelled by force: ending this worker");
    ::_exit(143);
  }
  p_.engine.notify();
}

void Executor::return_unstarted(RunningCall& call) {
  p_.metrics.calls_returned.add();
  ReplyHeader reply;
  reply.status = CallStatus::kReturned;
  reply.call = call.header.call;
  p_.links.send(*call.from, Hot::kReply, base::object_bytes(reply), {});
  give_back(call);
}

void Executor::on_take_back(Peer& from) {
  // The next to run stays unless something runs already: giving it back would only send it round.
  const bool keep_first = running_.empty();
  std::deque<RunningCall*> kept;
  for (RunningCall* call : std::exchange(queue_, {})) {
    const bool first = keep_first && kept.empty();
    if (!first && call->from == &from && call->header.target == Target::kTask && !call->failed) {
      return_unstarted(*call);
    } else {
      kept.push_back(call);
    }
  }
  queue_ = std::move(kept);
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
  if (actor_.is_nil()) {
    for (RunningCall* call : std::exchange(queue_, {})) return_unstarted(*call);
  }
  (void)p_.raylet.rpc().notify(proto::BLOCKED, proto::Empty());
}

void Executor::take_cpu() {
  if (!cpu_given_back_) return;
  cpu_given_back_ = false;
  (void)p_.raylet.rpc().notify(proto::UNBLOCKED, proto::Empty());
}

void Executor::on_references_held(Peer& from, const CancelHeader& header) { returned_.erase({&from, header.call}); }

void Executor::on_peer_lost(Peer& peer) {
  std::erase_if(returned_, [&](const auto& entry) { return entry.first.first == &peer; });
  std::deque<RunningCall*> kept;
  for (RunningCall* call : std::exchange(queue_, {})) {
    if (call->from == &peer) {
      give_back(*call);
    } else {
      kept.push_back(call);
    }
  }
  queue_ = std::move(kept);
}

// ---- running ----------------------------------------------------------------------------------------

bool Executor::runnable() const {
  if (!continuations_.empty()) return true;
  if (queue_.empty()) return exiting_ && running_.empty();
  if (!actor_.is_nil() || queue_.front()->from == nullptr) {
    return queue_.front()->state == RunningCall::State::kReady && suspended_ < suspended_max();
  }
  return std::ranges::any_of(queue_, [](const RunningCall* c) { return c->state == RunningCall::State::kReady; });
}

// An actor's calls keep their order, so the head must be ready; tasks may pass one that waits for its arguments.
RunningCall* Executor::next() {
  if (queue_.empty()) return nullptr;
  auto at = queue_.begin();
  const bool ordered = !actor_.is_nil() || queue_.front()->from == nullptr;
  if (ordered && suspended_ >= suspended_max()) return nullptr;
  while ((*at)->state != RunningCall::State::kReady) {
    if (ordered || ++at == queue_.end()) return nullptr;
  }
  RunningCall* call = *at;
  queue_.erase(at);
  return call;
}

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
        lock, [this] { return runnable(); }, std::nullopt,
        [this] {
          if (suspended_ != 0 && executing_ == 0) give_cpu_back();
        });
    take_cpu();
    if (exiting_ && queue_.empty() && running_.empty() && continuations_.empty()) ::_exit(0);
    if (run_continuation(lock)) continue;
    if (RunningCall* call = next()) run_one(lock, *call);
    // Before the next: what came meanwhile may be its cancellation.
    if (!queue_.empty()) p_.engine.progress();
  }
}

void Executor::work(Engine::Lock& lock) {
  const auto has_call = [this] { return !queue_.empty() && queue_.front()->state == RunningCall::State::kReady; };
  for (;;) {
    p_.engine.wait(lock, has_call, std::nullopt);
    if (RunningCall* call = next()) run_one(lock, *call);
  }
}

void Executor::start_threads(int max_concurrency) {
  max_concurrency_ = max_concurrency;
  for (int i = 1; i < std::min(max_concurrency, kExtraThreadsMax); ++i) {
    threads_.emplace_back([this] {
      Engine::Lock lock(p_.engine);
      work(lock);
    });
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
  const std::uint64_t ran = nanoseconds() - began;
  p_.engine.user_code_ended();
  current_scope() = outer;
  lock.lock();
  call.run_ns = ran;
  --executing_;
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
  if (!call.delivered) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "the call ended without a result";
    call.fail(error);
  }
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
  p_.references.borrows().after_borrows([this, &call] { send_reply(call); });
}

void Executor::send_reply(RunningCall& call) {
  if (call.from == nullptr) return constructor_ended(call);
  ReplyHeader header;
  header.status = call.failed ? CallStatus::kError : CallStatus::kOk;
  header.returns = call.header.returns;
  header.call = call.header.call;
  header.run_ns = call.run_ns;
  header.references = static_cast<std::uint32_t>(call.returned.size());
  for (const ObjectRef& ref : call.returned) {
    LocalObject& object = local(ref);
    p_.references.list(object);
    call.reply.put(object.id());
    encode(object.borrowed() ? object.more().owner->address : p_.links.self(), call.reply);
  }
  if (!call.returned.empty()) returned_[{call.from, call.header.call}] = std::move(call.returned);
  p_.links.send(*call.from, Hot::kReply, base::object_bytes(header), call.reply.view());
  give_back(call);
}

// ---- actors -----------------------------------------------------------------------------------------

void Executor::create_actor(const proto::CreateActor& request) {
  const auto id = base::ActorId::from_string(request.spec().actor_id());
  const auto job = base::JobId::from_string(request.spec().job_id());
  const FunctionEntry* constructor = find_function(request.spec().constructor());
  proto::ActorStarted answer;
  answer.set_actor_id(request.spec().actor_id());
  answer.set_incarnation(request.incarnation());
  ErrorInfo error;
  error.kind = base::ErrorKind::kInvalid;
  if (!id || !job || constructor == nullptr) {
    error.what = "this binary has no class " + request.spec().class_name();
    error.remedy = "driver and workers must run the same build";
  } else {
    actor_ = *id;
    incarnation_ = request.incarnation();
    RunningCall& call = take_free();
    const std::string& spec = request.spec().arguments();
    // The arguments were aligned for nobody: accept_constructor copies them.
    if (call.accept_constructor(*constructor, base::TaskId::from_bytes(id->words.data()), *job, base::as_bytes(spec))) {
      start_threads(std::max(request.spec().max_concurrency(), 1));
      return enqueue(call);
    }
    give_back(call);
    error.what = "the constructor's arguments are malformed";
  }
  base::Buffer encoded;
  encode(error, encoded);
  answer.set_error(std::string(base::as_string_view(encoded.view())));
  (void)p_.raylet.rpc().notify(proto::ACTOR_STARTED, answer);
}

void Executor::constructor_ended(RunningCall& call) {
  proto::ActorStarted answer;
  answer.set_actor_id(actor_.bytes());
  answer.set_incarnation(incarnation_);
  answer.set_ok(!call.failed);
  if (call.failed) {
    base::Buffer encoded;
    encode(*call.error, encoded);
    answer.set_error(std::string(base::as_string_view(encoded.view())));
  }
  give_back(call);
  (void)p_.raylet.rpc().notify(proto::ACTOR_STARTED, answer);
}

void Executor::exit_when_idle() {
  exiting_ = true;
  p_.engine.notify();
}

}  // namespace mobula::runtime
