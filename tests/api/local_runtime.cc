#include "tests/api/local_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

#include "core/api/runtime_access.h"

namespace mobula::runtime {

// What the production runtime defines for the types of object.h, codec.h and runtime.h.

class ActorState {
 public:
  std::shared_ptr<tests::LocalActor> actor;
  ActorId id;
};
const ActorId& ActorRef::id() const { return state_->id; }

}  // namespace mobula::runtime

namespace mobula::tests {

using namespace runtime;

namespace {

Runtime* the_runtime = nullptr;
std::set<const ObjectState*>& live() {
  static std::set<const ObjectState*> states;
  return states;
}
// What travels inside values, held until the session ends.
std::vector<ObjectRef> shipped_refs;
std::deque<ActorRef> shipped_actors;

ObjectId next_id() {
  static std::uint32_t n = 0;
  return ObjectId::from_words(1, 2, 3, ++n);
}

std::shared_ptr<std::byte> block(std::size_t n) {
  constexpr std::align_val_t kAlign{kBufferAlign};
  return {new (kAlign) std::byte[n + 1], [](std::byte* p) { operator delete[](p, kAlign); }};
}
View flattened(const Encoder& value) {
  const std::size_t n = value.payload_bytes();
  auto bytes = block(n);
  value.flatten(bytes.get());
  const std::byte* data = bytes.get();
  return {{data, n}, std::move(bytes)};
}

class LocalObject final : public WritableObject {
 public:
  explicit LocalObject(std::size_t n) : size(n), memory(block(n)) {}
  Bytes bytes() override { return {memory.get(), size}; }
  std::size_t size;
  std::shared_ptr<std::byte> memory;
};

}  // namespace

class LocalState final : public ObjectState {
 public:
  LocalState() : ObjectState(next_id()) { live().insert(this); }
  ~LocalState() { live().erase(this); }
  void make_ready(View view) {
    view_ = std::move(view);
    status_.store(ObjectStatus::kReady, std::memory_order_release);
  }
  void make_error(const ErrorInfo& error) {
    error_ = std::make_unique<ErrorInfo>(error);
    status_.store(ObjectStatus::kError, std::memory_order_release);
  }
};

namespace {
LocalState& state_of(const ObjectRef& ref) { return *static_cast<LocalState*>(ref.state()); }
}  // namespace

class LocalActor {
 public:
  std::shared_ptr<void> instance;
  std::string name;
  std::unique_ptr<ErrorInfo> dead;
};

struct LocalRuntime::Call {
  const FunctionEntry* function;
  std::shared_ptr<LocalActor> actor;
  Arguments arguments;
  std::vector<ObjectRef> out;
};

namespace {

class LocalInvocation final : public Invocation, public std::enable_shared_from_this<LocalInvocation> {
 public:
  LocalInvocation(std::shared_ptr<LocalActor> actor, Arguments arguments, std::vector<ObjectRef> out)
      : actor_(std::move(actor)), arguments_(std::move(arguments)), out_(std::move(out)) {
    base::Cursor in(arguments_.bytes_.view());
    for (std::uint32_t i = 0; i < arguments_.count_; ++i) {
      ArgumentView view;
      const auto kind = in.get<std::uint8_t>();
      const auto word = in.get<std::uint32_t>();
      if (kind == Arguments::kRef) {
        view.view = arguments_.dependencies_[word].ref->view();
        view.converter = arguments_.dependencies_[word].converter;
        view.plain = false;
      } else {
        const ConstBytes bytes = in.take(word);
        auto copy = block(bytes.size());
        std::memcpy(copy.get(), bytes.data(), bytes.size());
        const std::byte* data = copy.get();
        view.view = {{data, bytes.size()}, std::move(copy)};
        view.plain = kind == Arguments::kPlain;
      }
      views_.push_back(std::move(view));
    }
  }
  std::size_t argument_count() const override { return views_.size(); }
  const ArgumentView& argument(std::size_t i) const override { return views_[i]; }
  void* instance() override { return actor_ ? actor_->instance.get() : nullptr; }
  void set_instance(std::shared_ptr<void> instance, const Persistence&) override {
    actor_->instance = std::move(instance);
  }
  void result(std::uint32_t index, Encoder&& value) override {
    if (index < out_.size()) state_of(out_[index]).make_ready(flattened(value));
  }
  void result(std::uint32_t index, std::unique_ptr<WritableObject> sealed) override {
    auto& object = static_cast<LocalObject&>(*sealed);
    const std::byte* data = object.memory.get();
    state_of(out_[index]).make_ready({{data, object.size}, object.memory});
  }
  void fail(const ErrorInfo& error) override {
    for (const ObjectRef& ref : out_) state_of(ref).make_error(error);
    if (out_.empty() && actor_) actor_->dead = std::make_unique<ErrorInfo>(error);
  }
  void bad_argument(std::size_t i) override {
    ErrorInfo error;
    error.kind = base::ErrorKind::kInvalid;
    error.what = "argument " + std::to_string(i) + " did not decode";
    fail(error);
  }
  std::shared_ptr<Invocation> suspend() override { return shared_from_this(); }
  bool cancelled() const override { return false; }

 private:
  std::shared_ptr<LocalActor> actor_;
  Arguments arguments_;
  std::vector<ObjectRef> out_;
  std::vector<ArgumentView> views_;
};

}  // namespace

LocalRuntime::LocalRuntime() { interned_.emplace_back().resources.set("cpus", base::Amount::of(1)); }
LocalRuntime::~LocalRuntime() = default;

std::size_t LocalRuntime::live_objects() const { return live().size(); }

OptionsHandle LocalRuntime::intern(const TaskSpecOptions& options) {
  interned_.push_back(options);
  return static_cast<OptionsHandle>(interned_.size() - 1);
}

void LocalRuntime::enqueue(const FunctionEntry& function, std::shared_ptr<LocalActor> actor, Arguments&& arguments,
                           std::span<ObjectRef> out) {
  Call call{&function, std::move(actor), std::move(arguments), {}};
  for (ObjectRef& ref : out) {
    ref = ObjectRef(new LocalState);
    call.out.push_back(ref);
  }
  calls_.push_back(std::move(call));
}

void LocalRuntime::submit(const FunctionEntry& function, OptionsHandle options, Arguments&& arguments,
                          std::span<ObjectRef> out) {
  last_options_ = options;
  enqueue(function, nullptr, std::move(arguments), out);
}

Result<ActorRef> LocalRuntime::create_actor(const FunctionEntry& constructor, const ActorSpecOptions& options,
                                            Arguments&& arguments) {
  last_actor_ = options;
  auto state = std::make_shared<ActorState>();
  state->actor = std::make_shared<LocalActor>();
  state->actor->name = options.name;
  if (!options.name.empty()) names_[options.ns + "/" + options.name] = state->actor;
  enqueue(constructor, state->actor, std::move(arguments), {});
  return ActorRef(std::move(state));
}

void LocalRuntime::call(const ActorRef& actor, const FunctionEntry& method, Arguments&& arguments,
                        std::span<ObjectRef> out) {
  enqueue(method, actor.state()->actor, std::move(arguments), out);
}

Result<ActorRef> LocalRuntime::get_actor(const std::string& name, const std::string& ns) {
  const auto found = names_.find(ns + "/" + name);
  auto actor = found == names_.end() ? nullptr : found->second.lock();
  if (!actor) return base::Error{base::Code::kNotFound, "no actor is called " + name};
  auto state = std::make_shared<ActorState>();
  state->actor = std::move(actor);
  return ActorRef(std::move(state));
}

void LocalRuntime::kill(const ActorRef& actor, bool) {
  auto error = std::make_unique<ErrorInfo>();
  error->kind = base::ErrorKind::kActorDied;
  error->what = "the actor was killed";
  actor.state()->actor->dead = std::move(error);
}

void LocalRuntime::cancel(const ObjectRef& ref, bool, bool) {
  for (auto it = calls_.begin(); it != calls_.end(); ++it) {
    if (it->out.empty() || !(it->out[0] == ref)) continue;
    ErrorInfo error;
    error.kind = base::ErrorKind::kCancelled;
    error.what = "the task was cancelled";
    state_of(ref).make_error(error);
    calls_.erase(it);
    return;
  }
}

Result<ObjectRef> LocalRuntime::put(Encoder&& value) {
  ObjectRef ref(new LocalState);
  state_of(ref).make_ready(flattened(value));
  return ref;
}

Result<std::unique_ptr<WritableObject>> LocalRuntime::allocate(std::size_t payload_bytes) {
  if (payload_bytes > std::size_t{1} << 40) return base::Error{base::Code::kExhausted, "the store is too small"};
  return std::unique_ptr<WritableObject>(std::make_unique<LocalObject>(payload_bytes));
}

ObjectRef LocalRuntime::seal(std::unique_ptr<WritableObject> object) {
  auto& local = static_cast<LocalObject&>(*object);
  ObjectRef ref(new LocalState);
  const std::byte* data = local.memory.get();
  state_of(ref).make_ready({{data, local.size}, local.memory});
  return ref;
}

bool LocalRuntime::runnable(const Call& call) const {
  for (const auto& dependency : call.arguments.dependencies_) {
    if (!dependency.ref->settled()) return false;
  }
  return true;
}

void LocalRuntime::run(Call call) {
  const ErrorInfo* failed = call.actor && call.actor->dead ? call.actor->dead.get() : nullptr;
  for (const auto& dependency : call.arguments.dependencies_) {
    if (dependency.ref->status() == ObjectStatus::kError) failed = &dependency.ref->error();
  }
  if (failed != nullptr) {
    for (const ObjectRef& ref : call.out) state_of(ref).make_error(*failed);
    return;
  }
  const auto invocation = std::make_shared<LocalInvocation>(call.actor, std::move(call.arguments), std::move(call.out));
  call.function->invoke(*invocation);
}

bool LocalRuntime::step() {
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if (!it->first->settled()) continue;
    Continuation* continuation = it->second;
    waiting_.erase(it);
    continuation->resume();
    return true;
  }
  std::set<const LocalActor*> blocked;  // Calls of an actor keep their order.
  for (auto it = calls_.begin(); it != calls_.end(); ++it) {
    if (it->actor && blocked.count(it->actor.get()) != 0) continue;
    if (runnable(*it)) {
      Call call = std::move(*it);
      calls_.erase(it);
      run(std::move(call));
      return true;
    }
    blocked.insert(it->actor.get());
  }
  return false;
}

std::size_t LocalRuntime::wait(std::span<const ObjectRef> refs, std::size_t count, std::optional<Time> deadline,
                               FetchLocal) {
  for (;;) {
    std::size_t settled = 0;
    for (const ObjectRef& ref : refs) settled += ref->settled() ? 1 : 0;
    if (settled >= count || (deadline && std::chrono::steady_clock::now() >= *deadline)) return settled;
    if (!step()) {
      if (!deadline) {
        std::fprintf(stderr, "LocalRuntime: a wait that nothing can end\n");
        std::abort();
      }
      std::this_thread::yield();
    }
  }
}

bool LocalRuntime::when_ready(const ObjectRef& ref, Continuation& continuation) {
  if (ref->settled()) return false;
  waiting_.emplace_back(ref, &continuation);
  return true;
}

TaskContext LocalRuntime::context() const { return {}; }
Result<std::string> LocalRuntime::cluster_status_json() { return std::string("{}"); }

LocalSession::LocalSession() : runtime_(std::make_unique<LocalRuntime>()) {
  mobula::detail::begin_session();
  the_runtime = runtime_.get();
}
LocalSession::~LocalSession() {
  shipped_refs.clear();
  shipped_actors.clear();
  the_runtime = nullptr;
}

}  // namespace mobula::tests

namespace mobula::runtime {

namespace detail {
void last_reference_dropped(ObjectState* state) noexcept { delete static_cast<tests::LocalState*>(state); }
}  // namespace detail

RuntimeUse::RuntimeUse() : runtime_(tests::the_runtime) {}
RuntimeUse::~RuntimeUse() = default;
NoRuntime why_no_runtime() { return NoRuntime::kNoMore; }

void Encoder::ref(const ObjectRef& ref) {
  meta_.put(ref.state());
  refs_.push_back(ref);
  tests::shipped_refs.push_back(ref);
}
ObjectRef Decoder::ref() {
  auto* state = get<ObjectState*>();
  if (!ok() || tests::live().count(state) == 0) {
    fail();
    return {};
  }
  return ObjectRef(state);
}
void Encoder::actor(const ActorRef& actor) {
  tests::shipped_actors.push_back(actor);
  meta_.put(&tests::shipped_actors.back());
}
ActorRef Decoder::actor() {
  const auto* actor = get<const ActorRef*>();
  return ok() && actor != nullptr ? *actor : ActorRef();
}

void Arguments::add(Encoder&& value) {
  bytes_.put(value.plain() ? kPlain : kPayload);
  for (ObjectRef& ref : value.refs()) contained_.push_back(std::move(ref));
  if (value.plain()) {
    bytes_.put(static_cast<std::uint32_t>(value.meta().size()));
    bytes_.append(value.meta());
  } else {
    const View view = tests::flattened(value);
    bytes_.put(static_cast<std::uint32_t>(view.bytes.size()));
    bytes_.append(view.bytes);
  }
  ++count_;
}
void Arguments::add(const ObjectRef& ref, std::uint64_t converter) {
  bytes_.put(kRef);
  bytes_.put(static_cast<std::uint32_t>(dependencies_.size()));
  dependencies_.push_back({ref, converter});
  ++count_;
}

namespace {
class LocalSessionImpl final : public SessionImpl {
  tests::LocalSession session_;
};
}  // namespace

Result<std::unique_ptr<SessionImpl>> init(int&, char**&, const InitOptions&) {
  return std::unique_ptr<SessionImpl>(std::make_unique<LocalSessionImpl>());
}

}  // namespace mobula::runtime
