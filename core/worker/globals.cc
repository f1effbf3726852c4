#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "core/worker/current.h"
#include "core/worker/process.h"

namespace mobula::runtime {
namespace {

std::atomic<Process*> g_process{nullptr};

}  // namespace

Process* current_process() { return g_process.load(std::memory_order_acquire); }
void set_current_process(Process* process) { g_process.store(process, std::memory_order_release); }

Runtime* current() { return current_process(); }

Runtime& require_current() {
  if (Runtime* runtime = current()) return *runtime;
  std::fputs(
      "mobula: this call needs a cluster: make mobula::init(argc, argv) the first line of main, and keep "
      "what it returns while Mobula is used\n",
      stderr);
  std::abort();
}

const ActorId& ActorRef::id() const { return state_->id; }

void Encoder::ref(const ObjectRef& ref) {
  if (Process* process = current_process()) process->reference_codec().encode_reference(ref, meta_);
  refs_.push_back(ref);
}

void Encoder::actor(const ActorRef& actor) {
  if (Process* process = current_process()) process->reference_codec().encode_actor(actor, meta_);
  if (actor.state()->handle) refs_.push_back(actor.state()->handle);
}

ObjectRef Decoder::ref() {
  Process* const process = current_process();
  ObjectRef ref = process != nullptr && ok() ? process->reference_codec().decode_reference(cursor_) : ObjectRef();
  if (!ref) fail();
  return ref;
}

ActorRef Decoder::actor() {
  Process* const process = current_process();
  ActorRef actor = process != nullptr && ok() ? process->reference_codec().decode_actor(cursor_) : ActorRef();
  if (!actor) fail();
  return actor;
}

void Arguments::add(Encoder&& value) {
  const std::size_t size = value.payload_bytes();
  for (ObjectRef& ref : value.refs()) contained_.push_back(std::move(ref));
  value.refs().clear();
  if (size > kInlineBytesMax) {
    auto put = current_process()->puts().put_payload(value);
    if (put) return add(*put, 0);
    failure_ = std::make_unique<ErrorInfo>();
    failure_->kind =
        put.error().code == base::Code::kExhausted ? base::ErrorKind::kObjectStoreFull : base::ErrorKind::kInvalid;
    failure_->what = "an argument of " + std::to_string(size) + " bytes does not fit into the node's store";
    failure_->evidence.push_back(put.error().what);
    failure_->remedy = "pass less, drop references that are not needed, or give the store more: MOBULA_STORE_BYTES";
    return;
  }
  ++count_;
  if (value.plain()) {
    bytes_.put(kPlain);
    bytes_.put(static_cast<std::uint32_t>(value.meta().size()));
    bytes_.append(value.meta());
    return;
  }
  bytes_.put(kPayload);
  bytes_.put(static_cast<std::uint32_t>(size));
  value.flatten(bytes_.extend(size));
}

void Arguments::add(const ObjectRef& ref, std::uint64_t converter) {
  ++count_;
  bytes_.put(kRef);
  bytes_.put(static_cast<std::uint32_t>(dependencies_.size()));
  dependencies_.push_back({ref, converter});
}

namespace detail {

// Unshared values are freed here and now; what others may know of goes through the engine.
void last_reference_dropped(ObjectState* state) noexcept {
  auto* object = static_cast<LocalObject*>(state);
  if (!object->entangled()) {
    delete object;
  } else if (Process* process = current_process()) {
    process->dropped(object);
  }
}

}  // namespace detail
}  // namespace mobula::runtime
