#include "core/worker/process.h"

#include <unistd.h>

#include <utility>

#include "core/os/host.h"

namespace mobula::runtime {

using base::Code;
using base::Error;

// ---- joining ----------------------------------------------------------------------------------------

namespace {

// What threads outside tasks submit derives from this: the job for the driver, the worker's id elsewhere.
CallScope root_scope(const ProcessOptions& options) {
  CallScope root;
  root.task = options.is_driver && !options.is_member ? base::TaskId::from_bytes(options.job.words.data())
                                                      : base::TaskId::from_bytes(options.worker.words.data());
  root.task.words[6] = 0;
  root.job = options.job;
  return root;
}

}  // namespace

Process::Process(const ProcessOptions& options, CallScope root)
    : is_driver_(options.is_driver),
      job_(options.job),
      scopes_(root),
      saved_state_(options.saved_state),
      links_(std::make_unique<Links>(parse_node_link(options.transports.node_link), dispatch_)) {}

base::Result<std::unique_ptr<Process>> Process::join(const ProcessOptions& options, const os::Secret& secret) {
  auto process = std::unique_ptr<Process>(new Process(options, root_scope(options)));
  Process& p = *process;

  // The transports first: their addresses are part of the registration.
  ProcessAddress self;
  self.worker = options.worker;
  self.pid = ::getpid();
  self.host = os::host_name();
  self.host_key = os::boot_id();
  p.links_->set_self(self);
  const auto credentials = credentials_of(options.worker, options.is_driver ? "driver" : "worker", secret);
  if (auto opened = open_transports(*p.links_, options.transports, credentials); !opened) return opened.error();

  proto::Register registration = options.registration;
  registration.set_kind(options.is_driver ? proto::Register::DRIVER : proto::Register::WORKER);
  registration.set_worker_id(options.worker.bytes());
  registration.set_job_id(options.job.bytes());
  registration.set_pid(self.pid);
  registration.set_start_token(options.start_token);
  registration.set_member(options.is_member);
  *registration.mutable_address() = to_proto(p.links_->self());
  auto raylet = RayletLink::open(p.engine_.loop(), options.raylet_address, credentials, registration,
                                 os::now() + options.join_timeout);
  if (!raylet) return raylet.error();
  p.raylet_ = std::move(*raylet);
  Registration& r = p.raylet_->registration();
  p.job_ = r.job;
  p.scopes_.set_job(r.job);
  p.ns_ = r.ns;
  self = p.links_->self();
  self.node = r.node;
  self.incarnation = r.incarnation;
  p.links_->set_self(self);

  if (r.store_descriptors.size() < 2) return Error{Code::kInvalid, "the raylet gave no store"};
  auto store =
      objstore::StoreClient::attach(std::move(r.store_descriptors[0]), std::move(r.store_descriptors[1]), r.store_slot);
  if (!store) return store.error();
  const auto lineage_bytes = p.raylet_->settings().bytes("max_lineage_bytes");
  if (!lineage_bytes) return lineage_bytes.error();
  p.attach_spin_page(r.spin_page);
  p.build_parts(std::move(*store), options.collectives, *lineage_bytes);
  if (p.metrics_.file().valid()) {
    const int page = p.metrics_.file().get();
    (void)p.raylet_->rpc().notify(proto::METRICS_PAGE, proto::Empty(), {&page, 1});
  }
  p.engine_.set_after_progress([&p] { p.references_->process_drops(); });
  p.engine_.start(*p.links_, p.spin_tokens_);
  return process;
}

void Process::attach_spin_page(const os::Fd& page) {
  if (!page.valid()) return;
  auto mapped = os::map_file(page, 0, SpinTokens::kBytes, os::Access::kReadWrite);
  if (!mapped) return;
  spin_page_ = std::move(*mapped);
  spin_tokens_ = SpinTokens::attach({spin_page_.data(), spin_page_.size()});
}

void Process::build_parts(objstore::StoreClient store, const Collectives::Options& collectives,
                          std::uint64_t lineage_bytes_max) {
  store_ = std::make_unique<LocalStore>(engine_, *raylet_, std::move(store));
  references_ = std::make_unique<References>(engine_, *links_, *raylet_, *store_, metrics_);
  calls_ = std::make_unique<Calls>(tasks_, *links_, *references_, metrics_);
  submitter_ = std::make_unique<Submitter>(engine_, *calls_, *links_, *raylet_);
  actors_ = std::make_unique<ActorClient>(engine_, *calls_, *links_, *references_, *raylet_);
  lineage_ = std::make_unique<Lineage>(Lineage::Parts{*calls_, *references_, *submitter_, *actors_, metrics_},
                                       lineage_bytes_max);
  cancellation_ = std::make_unique<Cancellation>(tasks_, *submitter_, *actors_);
  executor_ = std::make_unique<Executor>(
      Executor::Parts{engine_, *links_, *references_, *store_, *raylet_, *cancellation_, metrics_, saved_state_});
  collectives_ = std::make_unique<Collectives>(
      Collectives::Parts{engine_, *links_, actors_->directory(), *store_, *raylet_},
      Collectives::Self{[this] { return executor_->describe_running(); }, [this] { return executor_->is_idle(); },
                        [this] { return executor_->actor().id(); },
                        [this] { return executor_->actor().incarnation(); }},
      collectives);
  executor_->stays_while(
      [this] { return submitter_->in_flight() + actors_->calls_in_flight() != 0 || references_->owns_any(); });
  executor_->tell_ends_to([this](std::string thrown) { collectives_->on_call_ended(std::move(thrown)); });
  actors_->directory().tell_changes_to([this](const ActorState& actor) { collectives_->on_actor_changed(actor); });
  waits_ = std::make_unique<Waits>(engine_, *references_, *executor_, tasks_,
                                   is_driver_ ? Waits::Continuations::kWhileWaiting : Waits::Continuations::kElsewhere);
  puts_ = std::make_unique<Puts>(Puts::Parts{engine_, *links_, *store_, *references_, scopes_, metrics_});
  groups_ =
      std::make_unique<GroupClient>(GroupClient::Parts{engine_, *links_, *raylet_, *references_, scopes_}, job_, ns_);
  reference_codec_ = std::make_unique<ReferenceCodec>(engine_, *links_, *references_, *actors_);
  time_left_ = std::make_unique<TimeLeft>(*submitter_);
  news_ = std::make_unique<RayletNews>(RayletNews::Parts{engine_, *links_, *raylet_, *references_, *submitter_,
                                                         *actors_, *executor_, *time_left_, scopes_},
                                       is_driver_ ? RayletNews::Reader::kDriver : RayletNews::Reader::kWorker);
  dispatch_.begin(
      {engine_, *links_, *references_, *calls_, *submitter_, *actors_, *executor_, *collectives_, metrics_});
  news_->serve();
}

Process::~Process() {
  engine_.stop();  // Its thread uses everything else.
  if (references_ != nullptr) references_->process_drops();
}

void Process::work() {
  {
    Engine::Lock lock(engine_);
    (void)raylet_->rpc().notify(proto::WORKER_READY, proto::Empty());
  }
  executor_->run();
}

void Process::wait_for_members(std::uint32_t count) {
  Engine::Lock lock(engine_);
  if (!raylet_->is_open() || news_->down()) return;
  proto::JobMembers request;
  request.set_job_id(job_.bytes());
  request.set_count(count);
  auto left = std::make_shared<bool>(false);
  raylet_->rpc().ask<proto::Empty>(proto::MEMBERS_LEFT, request, rpc::kNoDeadline, [this, left](Result<proto::Empty>) {
    *left = true;
    engine_.notify();
  });
  engine_.wait(
      lock, [&] { return *left || news_->down().has_value(); }, std::nullopt);
}

void Process::end_calls() {
  Engine::Lock lock(engine_);
  news_->end_calls();
}

void Process::finish_job(bool succeeded, base::Duration timeout) {
  Engine::Lock lock(engine_);
  const auto ended = ask_for_end(succeeded, timeout);
  engine_.wait(
      lock, [&] { return *ended || news_->down().has_value(); }, os::now() + timeout);
  news_->flush_lines();
}

// True once the job's workers have gone everywhere.
std::shared_ptr<bool> Process::ask_for_end(bool succeeded, base::Duration timeout) {
  auto ended = std::make_shared<bool>(!raylet_->is_open() || news_->down());
  if (*ended) return ended;
  proto::JobFinished request;
  request.set_job_id(job_.bytes());
  request.set_state(succeeded ? proto::JobInfo::SUCCEEDED : proto::JobInfo::FAILED);
  raylet_->rpc().ask<proto::Empty>(proto::JOB_FINISHED, request, timeout, [this, ended](Result<proto::Empty>) {
    *ended = true;
    engine_.notify();
  });
  return ended;
}

// ---- the orderly end --------------------------------------------------------------------------------

Result<void> Process::on_preempt(std::function<void()> callback) {
  if (!is_driver_) return Error{Code::kInvalid, "on_preempt() is for the driver; an actor has save(Archive&)"};
  preempt_callbacks_.add(std::move(callback));
  return {};
}

std::optional<ResumedRun> Process::resumed() const {
  if (!saved_state_.resumes()) return std::nullopt;
  return ResumedRun{saved_state_.run(), saved_state_.directory()};
}

std::size_t Process::begin_drain() {
  Engine::Lock lock(engine_);
  submitter_->drain();
  actors_->drain();
  return submitter_->in_flight() + actors_->calls_in_flight();
}

void Process::drain(base::Time until) {
  begin_drain();
  Engine::Lock lock(engine_);
  const auto idle = [this] { return submitter_->in_flight() + actors_->calls_in_flight() == 0; };
  engine_.wait(
      lock, [&] { return idle() || news_->down().has_value(); }, until);
}

Result<proto::StateSaved> Process::save_actors(Saves what, base::Duration patience) {
  Engine::Lock lock(engine_);
  if (!raylet_->is_open() || news_->down()) return Error{Code::kUnavailable, "the cluster has gone"};
  proto::SaveState request;
  request.set_job_id(job_.bytes());
  request.set_only_count(what == Saves::kCount);
  request.set_patience_ms(std::chrono::duration_cast<std::chrono::milliseconds>(patience).count() * 4 / 5);
  auto answer = std::make_shared<std::optional<Result<proto::StateSaved>>>();
  raylet_->rpc().ask<proto::StateSaved>(proto::SAVE_STATE, request, patience,
                                        [this, answer](Result<proto::StateSaved> reply) {
                                          *answer = std::move(reply);
                                          engine_.notify();
                                        });
  engine_.wait(
      lock, [&] { return answer->has_value() || news_->down().has_value(); }, os::now() + patience);
  if (!answer->has_value()) return Error{Code::kDeadline, "the cluster has not answered in time"};
  return std::move(**answer);
}

// Whoever waits holds the lock, or wants it.
void Process::stand_still() { new Engine::Lock(engine_); }

void Process::finish_job_standing_still(base::Duration timeout) {
  const auto ended = ask_for_end(false, timeout);
  engine_.progress_alone([&] { return *ended || news_->down().has_value(); }, os::now() + timeout);
  news_->flush_lines();
}

// ---- calls ------------------------------------------------------------------------------------------

OptionsHandle Process::intern(const TaskSpecOptions& options) {
  Engine::Lock lock(engine_);
  return submitter_->intern(options);
}

void Process::submit(const FunctionEntry& function, OptionsHandle options, Arguments&& arguments,
                     std::span<ObjectRef> out) {
  Engine::Lock lock(engine_);
  if (!scopes_.captured_group().is_nil()) options = captured(options);
  submitter_->submit(function, options, scopes_.next_task(), std::move(arguments), out);
}

// The same options, inside the group that this worker's calls belong to.
OptionsHandle Process::captured(OptionsHandle options) {
  const auto key = std::pair(options, scopes_.captured_group());
  if (const auto it = captured_options_.find(key); it != captured_options_.end()) return it->second;
  TaskSpecOptions inside = submitter_->options(options);
  if (inside.placement_group.is_nil()) inside.placement_group = key.second;
  return captured_options_[key] = submitter_->intern(inside);
}

Result<ActorRef> Process::create_actor(const FunctionEntry& constructor, const ActorSpecOptions& options,
                                       Arguments&& arguments) {
  Engine::Lock lock(engine_);
  if (const auto& down = news_->down()) return Error{Code::kUnavailable, down->what};
  const auto id = scopes_.next_actor();
  ActorSpecOptions resolved = options;
  if (resolved.ns.empty()) resolved.ns = ns_;
  if (resolved.placement_group.is_nil()) resolved.placement_group = scopes_.captured_group();
  return actors_->create(lock, constructor, resolved, id, job_, std::move(arguments));
}

void Process::call(const ActorRef& actor, const FunctionEntry& method, Arguments&& arguments,
                   std::span<ObjectRef> out) {
  Engine::Lock lock(engine_);
  actors_->call(actor, method, scopes_.next_task(), std::move(arguments), out);
}

Result<ActorRef> Process::get_actor(const std::string& name, const std::string& ns) {
  Engine::Lock lock(engine_);
  return actors_->get_named(lock, name, ns.empty() ? ns_ : ns);
}

void Process::kill(const ActorRef& actor, bool no_restart) {
  Engine::Lock lock(engine_);
  actors_->kill(*actor.state(), no_restart);
}

void Process::cancel(const ObjectRef& ref, bool force, bool recursive) {
  Engine::Lock lock(engine_);
  Task* task = tasks_.find(local(ref).task);
  if (task == nullptr || ref->settled()) return;
  cancellation_->cancel(*task, force ? Cancellation::Force::kYes : Cancellation::Force::kNo,
                        recursive ? Cancellation::Reach::kChildren : Cancellation::Reach::kAlone);
  engine_.notify();
}

// ---- about us ---------------------------------------------------------------------------------------

bool Process::cancelled() const {
  const CallScope* const mine = current_scope();
  return mine != nullptr && mine->call != nullptr && mine->call->cancelled();
}

std::optional<ErrorInfo> Process::why_wait_ended() const {
  const CallScope* const mine = current_scope();
  if (mine == nullptr || mine->call == nullptr) return std::nullopt;
  ErrorInfo error;
  if (mine->call->cancelled()) {
    error.kind = base::ErrorKind::kCancelled;
    error.what = "the task was cancelled while it waited";
    return error;
  }
  if (!mine->call->waits_for_itself) return std::nullopt;
  error.kind = base::ErrorKind::kInvalid;
  error.what = "this actor waits for a call to itself, which begins only when the one that waits has ended";
  error.remedy =
      "call the method directly, co_await the result in a coroutine method, or let the actor run several calls at "
      "once: "
      ".with({.max_concurrency = 2})";
  return error;
}

TaskContext Process::context() const {
  const CallScope* const mine = current_scope();
  const CallScope& s = mine != nullptr ? *mine : scopes_.root();
  TaskContext c;
  c.job = s.job.is_nil() ? job_ : s.job;
  c.task = s.task;
  c.actor = s.actor;
  c.node = links_->self().node;
  c.worker = links_->self().worker;
  c.attempt = s.attempt;
  c.ns = ns_;
  return c;
}

Result<std::string> Process::cluster_status_json() {
  Engine::Lock lock(engine_);
  proto::List request;
  request.set_what("status");
  auto answer = std::make_shared<std::optional<Result<proto::Json>>>();
  raylet_->rpc().ask<proto::Json>(proto::LIST, request, std::chrono::seconds(10),
                                  [this, answer](Result<proto::Json> reply) {
                                    *answer = std::move(reply);
                                    engine_.notify();
                                  });
  engine_.wait(
      lock, [&] { return answer->has_value(); }, std::nullopt);
  if (!**answer) return (**answer).error();
  return (**answer)->text();
}

}  // namespace mobula::runtime
