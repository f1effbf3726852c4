#include "core/worker/process.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/cluster/interrupt.h"
#include "core/os/host.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/worker/log_line.h"
#include "core/worker/writable.h"
#include "transport/shm/shm.h"
#include "transport/sock/sock.h"
#include "transport/ucx_module.h"

namespace mobula::runtime {

using base::Code;
using base::Error;
using base::ErrorKind;

namespace {

template <class Header>
bool read_header(base::ConstBytes bytes, Header& header) {
  if (bytes.size() != sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header.version == kMessageVersion;
}

ErrorInfo store_error(const base::Error& why, std::size_t bytes) {
  ErrorInfo error;
  error.kind = why.code == Code::kExhausted ? ErrorKind::kObjectStoreFull : ErrorKind::kInvalid;
  error.what = "a value of " + std::to_string(bytes) + " bytes does not fit into the node's store";
  error.evidence.push_back(why.what);
  error.remedy = "drop references that are not needed, use a smaller value, or give the store more: MOBULA_STORE_BYTES";
  return error;
}

}  // namespace

// ---- joining ----------------------------------------------------------------------------------------

Process::Process(const ProcessOptions& options, const Registration& registration)
    : is_driver_(options.is_driver), job_(registration.job), ns_(registration.ns) {
  // What threads outside tasks submit derives from this: the job for the driver, the worker's id elsewhere.
  root_.task =
      is_driver_ ? base::TaskId::from_bytes(job_.words.data()) : base::TaskId::from_bytes(options.worker.words.data());
  root_.task.words[6] = 0;
  root_.job = job_;
}

base::Result<std::unique_ptr<Process>> Process::join(const ProcessOptions& options, const os::Secret& secret) {
  Registration nothing;
  nothing.job = options.job;
  auto process = std::unique_ptr<Process>(new Process(options, nothing));
  Process& p = *process;

  // The transports first: their addresses are part of the registration.
  ProcessAddress self;
  self.worker = options.worker;
  self.pid = ::getpid();
  self.host = os::host_name();
  self.host_key = os::boot_id();
  p.links_ = std::make_unique<Links>(parse_node_link(options.node_link), p);
  p.links_->set_self(self);
  if (auto opened = p.open_transports(options, secret); !opened) return opened.error();

  transport::Credentials credentials;
  std::memcpy(credentials.key.data(), secret.view().data(), credentials.key.size());
  credentials.self = {options.worker, 0, options.is_driver ? "driver" : "worker"};
  proto::Register registration = options.registration;
  registration.set_kind(options.is_driver ? proto::Register::DRIVER : proto::Register::WORKER);
  registration.set_worker_id(options.worker.bytes());
  registration.set_job_id(options.job.bytes());
  registration.set_pid(self.pid);
  registration.set_start_token(options.start_token);
  *registration.mutable_address() = to_proto(p.links_->self());
  auto raylet = RayletLink::open(p.engine_.loop(), options.raylet_address, credentials, registration,
                                 os::now() + options.join_timeout);
  if (!raylet) return raylet.error();
  p.raylet_ = std::move(*raylet);
  Registration& r = p.raylet_->registration();
  p.job_ = r.job;
  p.root_.job = r.job;
  p.ns_ = r.ns;
  self = p.links_->self();
  self.node = r.node;
  self.incarnation = r.incarnation;
  p.links_->set_self(self);

  if (r.store_descriptors.size() < 2) return Error{Code::kInvalid, "the raylet gave no store"};
  auto store =
      objstore::StoreClient::attach(std::move(r.store_descriptors[0]), std::move(r.store_descriptors[1]), r.store_slot);
  if (!store) return store.error();
  p.store_ = std::make_unique<LocalStore>(p.engine_, *p.raylet_, std::move(*store));
  SpinTokens tokens;
  if (r.spin_page.valid()) {
    if (auto page = os::map_file(r.spin_page, 0, SpinTokens::kBytes, os::Access::kReadWrite)) {
      p.spin_page_ = std::move(*page);
      tokens = SpinTokens::attach({p.spin_page_.data(), p.spin_page_.size()});
    }
  }
  p.references_ = std::make_unique<References>(p.engine_, *p.links_, *p.raylet_, *p.store_, p.metrics_);
  p.calls_ = std::make_unique<Calls>(p.tasks_, *p.links_, *p.references_, p.metrics_);
  p.submitter_ = std::make_unique<Submitter>(p.engine_, *p.calls_, *p.links_, *p.raylet_);
  p.actors_ = std::make_unique<ActorClient>(p.engine_, *p.calls_, *p.links_, *p.references_, *p.raylet_);
  p.executor_ = std::make_unique<Executor>(
      Executor::Parts{p.engine_, *p.links_, *p.references_, *p.store_, *p.raylet_, *p.actors_, p.metrics_});
  p.serve_raylet();
  if (p.metrics_.file().valid()) {
    const int page = p.metrics_.file().get();
    (void)p.raylet_->rpc().notify(proto::METRICS_PAGE, proto::Empty(), {&page, 1});
  }
  p.engine_.set_after_progress([&p] { p.references_->process_drops(); });
  p.engine_.start(*p.links_, tokens);
  return process;
}

base::Result<void> Process::open_transports(const ProcessOptions& options, const os::Secret& secret) {
  const std::string& link = options.node_link;
  transport::WorkerOptions w;
  std::memcpy(w.credentials.key.data(), secret.view().data(), w.credentials.key.size());
  w.credentials.self = {options.worker, 0, options.is_driver ? "driver" : "worker"};
  w.socket_directory = options.session_directory;
  const bool several_hosts = !options.interface.empty();
  if (several_hosts) w.interface = options.interface;
  ProcessAddress self = links_->self();
  auto shm = transport::shm::make_shm_worker(w, *links_);
  if (!shm) return shm.error();
  self.shm = (*shm)->address();
  links_->use_shm(std::move(*shm));
  if (link == "sock" || (several_hosts && link != "shm")) {
    auto sock = transport::sock::make_sock_worker(w, *links_);
    if (!sock) return sock.error();
    self.sock = (*sock)->address();
    links_->use_sock(std::move(*sock));
  }
  // RDMA only between hosts, and only where the hardware is, unless somebody asks for it by name.
  const bool rdma =
      link == "ucx" || (several_hosts && (link.empty() || link == "auto") && transport::has_rdma_device());
  if (rdma) {
    auto ucx = transport::load_ucx_worker(w, *links_,
                                          several_hosts ? transport::UcxListen::kTcp : transport::UcxListen::kUnix);
    if (!ucx) return ucx.error();
    self.ucx = (*ucx)->address();
    links_->use_ucx(std::move(*ucx));
  }
  links_->set_self(self);
  return {};
}

Process::~Process() {
  engine_.stop();  // Its thread uses everything else.
  if (references_ != nullptr) references_->process_drops();
}

void Process::serve_raylet() {
  rpc::Rpc& rpc = raylet_->rpc();
  using rpc::Responder;
  rpc.on<proto::Grant>(proto::GRANT, [this](proto::Grant&& m, Responder r) { submitter_->on_grant(m, std::move(r)); });
  rpc.on<proto::ReturnLease>(proto::RECALL,
                             [this](proto::ReturnLease&& m, Responder) { submitter_->on_recall(m.lease_id()); });
  rpc.on<proto::WorkerLost>(proto::WORKER_LOST,
                            [this](proto::WorkerLost&& m, Responder) { submitter_->on_worker_lost(m); });
  rpc.on<proto::Unschedulable>(proto::UNSCHEDULABLE,
                               [this](proto::Unschedulable&& m, Responder) { submitter_->on_unschedulable(m); });
  rpc.on<proto::ActorInfo>(proto::ACTOR_CHANGED, [this](proto::ActorInfo&& m, Responder) { actors_->on_info(m); });
  rpc.on<proto::CreateActor>(proto::CREATE_ACTOR,
                             [this](proto::CreateActor&& m, Responder) { executor_->create_actor(m); });
  rpc.on<proto::NodeDead>(proto::NODE_DEAD, [this](proto::NodeDead&& m, Responder) {
    const auto node = base::NodeId::from_string(m.node_id());
    if (!node) return;
    links_->declare_node_lost(*node, {Code::kLost, "node " + node->short_hex() + " has died: " + m.why()});
    references_->on_node_dead(*node, m.why());
    engine_.notify();
  });
  rpc.on<proto::Exit>(proto::EXIT, [this](proto::Exit&& m, Responder) {
    if (is_driver_) return;
    if (m.force()) ::_exit(0);
    executor_->exit_when_idle();
  });
  rpc.on<proto::ClusterDown>(proto::CLUSTER_DOWN, [this](proto::ClusterDown&& m, Responder) { cluster_down(m.why()); });
  rpc.on<proto::LogLines>(proto::LOG_LINES, [](proto::LogLines&& m, Responder) {
    for (const proto::LogLine& line : m.lines()) print_log_line(line);
  });
  raylet_->on_closed([this](const Error& why) {
    if (!is_driver_) ::_exit(1);  // A worker dies with its raylet.
    cluster_down("the connection to this node's raylet has ended: " + why.what);
  });
}

void Process::cluster_down(const std::string& why) {
  cluster::end_if_interrupted();
  if (down_) return;
  ErrorInfo error;
  error.kind = ErrorKind::kClusterDown;
  error.what = "the cluster has gone: " + why;
  error.remedy = "start it again; the logs of its last run are in the session directory (mobula logs)";
  down_ = error;
  submitter_->fail_all(error);
  actors_->fail_all(error);
  references_->fail_all(error);
  engine_.notify();
  if (!is_driver_) ::_exit(1);
}

void Process::work() {
  {
    Engine::Lock lock(engine_);
    (void)raylet_->rpc().notify(proto::WORKER_READY, proto::Empty());
  }
  executor_->run();
}

void Process::finish_job(bool succeeded, base::Duration timeout) {
  Engine::Lock lock(engine_);
  if (!raylet_->is_open() || down_) return;
  proto::JobFinished request;
  request.set_job_id(job_.bytes());
  request.set_state(succeeded ? proto::JobInfo::SUCCEEDED : proto::JobInfo::FAILED);
  auto ended = std::make_shared<bool>(false);
  raylet_->rpc().ask<proto::Empty>(proto::JOB_FINISHED, request, timeout, [this, ended](Result<proto::Empty>) {
    *ended = true;
    engine_.notify();
  });
  engine_.wait(
      lock, [&] { return *ended || down_.has_value(); }, os::now() + timeout);
}

// ---- calls ------------------------------------------------------------------------------------------

CallScope& Process::scope() {
  CallScope* const mine = current_scope();
  return mine != nullptr ? *mine : root_;
}

OptionsHandle Process::intern(const TaskSpecOptions& options) {
  Engine::Lock lock(engine_);
  return submitter_->intern(options);
}

void Process::submit(const FunctionEntry& function, OptionsHandle options, Arguments&& arguments,
                     std::span<ObjectRef> out) {
  Engine::Lock lock(engine_);
  submitter_->submit(function, options, next_task(), std::move(arguments), out);
}

Result<ActorRef> Process::create_actor(const FunctionEntry& constructor, const ActorSpecOptions& options,
                                       Arguments&& arguments) {
  Engine::Lock lock(engine_);
  if (down_) return Error{Code::kUnavailable, down_->what};
  const auto id = base::derive<ActorId>(scope().task, ++scope().children);
  ActorSpecOptions resolved = options;
  if (resolved.ns.empty()) resolved.ns = ns_;
  return actors_->create(lock, constructor, resolved, id, job_, std::move(arguments));
}

void Process::call(const ActorRef& actor, const FunctionEntry& method, Arguments&& arguments,
                   std::span<ObjectRef> out) {
  Engine::Lock lock(engine_);
  actors_->call(actor, method, next_task(), std::move(arguments), out);
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
  if (task->actor != nullptr) {
    actors_->cancel(*task, force, recursive);
  } else {
    submitter_->cancel(*task, force, recursive);
  }
  engine_.notify();
}

// ---- objects ----------------------------------------------------------------------------------------

Result<ObjectRef> Process::put(Encoder&& value) {
  const std::size_t size = value.payload_bytes();
  std::vector<ObjectRef> contained = std::move(value.refs());
  Result<ObjectRef> made = [&]() -> Result<ObjectRef> {
    if (size > kInlineBytesMax) return put_payload(value);
    Engine::Lock lock(engine_);
    metrics_.puts.add();
    ObjectRef ref(references_->make(next_put()));
    if (value.plain()) {
      base::Buffer payload;
      value.flatten(payload.extend(size));
      local(ref).settle_inline(payload.view());
    } else {
      HeapObject heap(size);
      value.flatten(heap.bytes().data());
      local(ref).settle_view(heap.view());
    }
    return ref;
  }();
  if (made && !contained.empty()) {
    Engine::Lock lock(engine_);
    local(*made).more().contained = std::move(contained);
    local(*made).entangle();
  }
  return made;
}

Result<ObjectRef> Process::put_payload(const Encoder& value) {
  const std::size_t size = value.payload_bytes();
  Engine::Lock lock(engine_);
  references_->process_drops();  // Memory that has just been let go is warm still.
  auto allocation = store_->allocate(lock, size);
  if (!allocation) return Error{allocation.error().code, allocation.error().what};
  lock.unlock();
  value.flatten(allocation->bytes().data());
  auto object = std::make_unique<StoreObject>(engine_, *store_, std::move(*allocation));
  return seal(std::move(object));
}

Result<std::unique_ptr<WritableObject>> Process::allocate(std::size_t payload_bytes) {
  if (payload_bytes <= kInlineBytesMax) return std::unique_ptr<WritableObject>(new HeapObject(payload_bytes));
  Engine::Lock lock(engine_);
  references_->process_drops();
  auto allocation = store_->allocate(lock, payload_bytes);
  if (!allocation) return allocation.error();
  return std::unique_ptr<WritableObject>(new StoreObject(engine_, *store_, std::move(*allocation)));
}

ObjectRef Process::seal(std::unique_ptr<WritableObject> object) {
  Engine::Lock lock(engine_);
  metrics_.puts.add();
  ObjectRef ref(references_->make(next_put()));
  LocalObject& made = local(ref);
  if (auto* heap = dynamic_cast<HeapObject*>(object.get())) {
    made.settle_view(heap->view());
    return ref;
  }
  auto& stored = static_cast<StoreObject&>(*object);
  const std::size_t size = stored.allocation().bytes().size();
  const auto sealed = store_->seal(std::move(stored.allocation()), made.id(), objstore::Copy::kPrimary);
  std::optional<View> view;
  if (sealed) view = store_->get(made.id());
  if (view) {
    made.settle_view(std::move(*view));
    made.in_store = true;
    references_->set_holders(made, {links_->self().node});
  } else {
    made.settle_error(store_error(sealed ? Error{Code::kLost, "it was sealed and is gone"} : sealed.error(), size));
  }
  lock.unlock();
  object.reset();  // Takes the lock when the seal has failed.
  return ref;
}

// ---- waiting ----------------------------------------------------------------------------------------

bool Process::settled_enough(const ObjectRef& ref, FetchLocal fetch) const {
  const ObjectStatus status = ref->status();
  if (status == ObjectStatus::kPending) return false;
  return status != ObjectStatus::kRemote || fetch == FetchLocal::kNo;
}

void Process::want(const ObjectRef& ref, FetchLocal fetch) {
  LocalObject& object = local(ref);
  if (object.status() == ObjectStatus::kPending && object.borrowed()) references_->ask_owner(object);
  if (object.status() == ObjectStatus::kRemote && fetch == FetchLocal::kYes) references_->fetch(object);
}

// One blocking wait of a user's thread.  In a task, the first sleep gives the CPU back.
bool Process::block(Engine::Lock& lock, const std::function<bool()>& done, std::optional<Time> deadline) {
  CallScope* const task = current_scope();
  const bool in_task = task != nullptr && task->call != nullptr;
  bool gave_back = false;
  const auto cancelled = [&] { return in_task && task->call->cancelled(); };
  const auto give_back = [&] {
    if (gave_back) return;
    gave_back = true;
    executor_->wait_began();
  };
  bool result = true;
  for (;;) {
    const bool woke = engine_.wait(
        lock, [&] { return done() || cancelled() || (is_driver_ && executor_->has_continuation()); }, deadline,
        in_task ? std::function<void()>(give_back) : nullptr);
    if (done()) break;
    if (!woke || cancelled()) {
      result = false;
      break;
    }
    executor_->run_continuation(lock);
  }
  if (gave_back) executor_->wait_ended();
  return result;
}

std::size_t Process::wait_for_all(Engine::Lock& lock, std::span<const ObjectRef> refs, std::optional<Time> deadline,
                                  FetchLocal fetch) {
  for (const ObjectRef& ref : refs) want(ref, fetch);
  std::size_t first_open = 0;
  const auto done = [&] {
    while (first_open < refs.size()) {
      if (!settled_enough(refs[first_open], fetch)) {
        want(refs[first_open], fetch);  // Its owner may have told meanwhile that the bytes are elsewhere.
        if (!settled_enough(refs[first_open], fetch)) return false;
      }
      ++first_open;
    }
    return true;
  };
  if (done() || block(lock, done, deadline)) return refs.size();
  return static_cast<std::size_t>(
      std::ranges::count_if(refs, [&](const ObjectRef& r) { return settled_enough(r, fetch); }));
}

std::size_t Process::wait_for_some(Engine::Lock& lock, std::span<const ObjectRef> refs, std::size_t count,
                                   std::optional<Time> deadline, FetchLocal fetch) {
  struct Counter : Waiter {
    std::size_t* settled = nullptr;
    bool linked = false;
    void object_ready(LocalObject&) override {
      ++*settled;
      linked = false;
    }
  };
  std::size_t settled = 0;
  std::vector<Counter> counters(refs.size());
  for (std::size_t i = 0; i < refs.size(); ++i) {
    want(refs[i], fetch);
    if (settled_enough(refs[i], fetch)) {
      ++settled;
      continue;
    }
    counters[i].settled = &settled;
    counters[i].wants = fetch == FetchLocal::kYes ? Waiter::Wants::kLocal : Waiter::Wants::kSettled;
    counters[i].linked = true;
    local(refs[i]).add_waiter(counters[i]);
  }
  if (settled < count)
    block(
        lock, [&] { return settled >= count; }, deadline);
  for (std::size_t i = 0; i < refs.size(); ++i) {
    if (counters[i].linked) local(refs[i]).remove_waiter(counters[i]);
  }
  return settled;
}

std::size_t Process::wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                          FetchLocal fetch) {
  if (CallScope* const mine = current_scope(); mine != nullptr && mine->call != nullptr) mine->call->has_waited = true;
  if (refs.size() == 1 && settled_enough(refs[0], fetch)) return 1;  // Without the lock: statuses only grow.
  Engine::Lock lock(engine_);
  if (count >= refs.size()) return wait_for_all(lock, refs, deadline, fetch);
  return wait_for_some(lock, refs, count, deadline, fetch);
}

bool Process::when_ready(const ObjectRef& ref, Continuation& continuation) {
  struct Resume final : Waiter {
    Resume(Executor& e, Continuation& c, CallScope* s, ObjectRef r)
        : executor(e), continuation(c), scope(s), ref(std::move(r)) {}
    void object_ready(LocalObject&) override {
      executor.queue_continuation(continuation, scope);
      delete this;
    }
    Executor& executor;
    Continuation& continuation;
    CallScope* scope;
    ObjectRef ref;  // Keeps the object, and so this, until it settles.
  };
  if (CallScope* const mine = current_scope(); mine != nullptr && mine->call != nullptr) mine->call->has_waited = true;
  if (settled_enough(ref, FetchLocal::kYes)) return false;
  Engine::Lock lock(engine_);
  want(ref, FetchLocal::kYes);
  if (settled_enough(ref, FetchLocal::kYes)) return false;
  auto* resume = new Resume(*executor_, continuation, current_scope(), ref);
  resume->wants = Waiter::Wants::kLocal;
  local(ref).add_waiter(*resume);
  return true;
}

bool Process::cancelled() const {
  const CallScope* const mine = current_scope();
  return mine != nullptr && mine->call != nullptr && mine->call->cancelled();
}

TaskContext Process::context() const {
  const CallScope* const mine = current_scope();
  const CallScope& s = mine != nullptr ? *mine : root_;
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

// ---- references inside values -----------------------------------------------------------------------

void Process::encode_reference(const ObjectRef& ref, base::Buffer& out) {
  Engine::Lock lock(engine_);
  LocalObject& object = local(ref);
  references_->list(object);
  out.put(object.id());
  encode(object.borrowed() ? object.more().owner->address : links_->self(), out);
}

ObjectRef Process::decode_reference(base::Cursor& in) {
  const auto id = in.get<ObjectId>();
  const auto owner = decode_address(in);
  if (!owner) return {};
  CallScope* const scope = current_scope();
  RunningCall* const call = scope != nullptr ? scope->call : nullptr;
  // What an argument brings is held by the caller until the reply; what get() brings is not.
  const bool from_argument = call != nullptr && !call->has_waited;
  Engine::Lock lock(engine_);
  ObjectRef ref = references_->adopt(id, *owner, from_argument ? References::Borrow::kLater : References::Borrow::kNow);
  if (from_argument) call->note_adopted(ref);
  return ref;
}

void Process::encode_actor(const ActorRef& actor, base::Buffer& out) {
  Engine::Lock lock(engine_);
  ActorState& state = *actor.state();
  out.put(state.id);
  out.put(static_cast<std::uint8_t>(state.handle ? 1 : 0));
  out.put_string(state.class_name);
  if (!state.handle) return;
  LocalObject& handle = local(state.handle);
  references_->list(handle);
  encode(handle.borrowed() ? handle.more().owner->address : links_->self(), out);
}

ActorRef Process::decode_actor(base::Cursor& in) {
  const auto id = in.get<ActorId>();
  const auto counted = in.get<std::uint8_t>();
  const std::string class_name(in.get_string());
  ProcessAddress owner;
  if (counted != 0) {
    auto read = decode_address(in);
    if (!read) return {};
    owner = std::move(*read);
  }
  if (!in.ok()) return {};
  Engine::Lock lock(engine_);
  return actors_->adopt(id, owner, class_name);
}

void Process::dropped(LocalObject* object) noexcept { references_->drop(object); }

// ---- messages ---------------------------------------------------------------------------------------

void Process::on_reply(Peer& from, const ReplyHeader& header, base::ConstBytes payload) {
  Task* task = tasks_.find(header.call);
  if (task == nullptr) return;  // Ended meanwhile: cancelled, or its actor was declared dead.
  if (task->actor != nullptr) {
    actors_->on_reply(from, *task, header, payload);
  } else {
    submitter_->on_reply(from, *task, header, payload);
  }
}

void Process::message(Peer& from, Hot type, base::ConstBytes header, base::ConstBytes payload) {
  CallHeader call;
  ReplyHeader reply;
  CancelHeader cancel;
  ObjectHeader object;
  switch (type) {
    case Hot::kCall:
      if (read_header(header, call)) return executor_->on_call(from, call, payload);
      break;
    case Hot::kReply:
      if (read_header(header, reply)) return on_reply(from, reply, payload);
      break;
    case Hot::kCancel:
      if (read_header(header, cancel)) return executor_->on_cancel(from, cancel);
      break;
    case Hot::kTakeBack:
      if (read_header(header, cancel)) return executor_->on_take_back(from);
      break;
    case Hot::kRefsHeld:
      if (read_header(header, cancel)) return executor_->on_references_held(from, cancel);
      break;
    case Hot::kObjectGet:
      if (read_header(header, object)) return references_->on_object_get(from, object);
      break;
    case Hot::kObjectValue:
      if (read_header(header, object)) return references_->on_object_value(from, object, payload);
      break;
    case Hot::kBorrow:
      if (read_header(header, object)) return references_->on_borrow(from, object);
      break;
    case Hot::kBorrowed:
      if (read_header(header, object)) return references_->on_borrowed(from, object);
      break;
    case Hot::kRelease:
      if (read_header(header, object)) return references_->on_release(from, object);
      break;
    case Hot::kLocation:
      if (read_header(header, object)) return references_->on_location(from, object, payload);
      break;
  }
  links_->declare_lost(from, {Code::kInvalid, "the peer sent a message of unknown type or version"});
}

void Process::peer_lost(Peer& peer) {
  os::log(os::LogLevel::kInfo, "peer {} lost: {}", peer.address.worker.short_hex(), peer.why_lost.what);
  metrics_.peers_lost.add();
  submitter_->on_peer_lost(peer);
  actors_->on_peer_lost(peer);
  references_->on_peer_lost(peer);
  executor_->on_peer_lost(peer);
  engine_.notify();
}

}  // namespace mobula::runtime
