#include <pthread.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <utility>

#include "core/os/event_loop.h"
#include "core/os/forks.h"
#include "core/worker/current.h"
#include "core/worker/process.h"

namespace mobula::runtime {
namespace {

std::atomic<Process*> g_process{nullptr};
std::atomic<NoRuntime> g_why_none{NoRuntime::kNotYet};

// Calls under way, counted apart so that threads that call at once share no cache line.
constexpr std::size_t kCounters = 16;
struct alignas(64) CallCounter {
  std::atomic<std::int64_t> calls{0};
};
std::array<CallCounter, kCounters> g_calls;
std::atomic<std::size_t> g_next_counter{0};

std::atomic<std::int64_t>& my_calls() {
  thread_local const std::size_t mine = g_next_counter.fetch_add(1, std::memory_order_relaxed) % kCounters;
  return g_calls[mine].calls;
}

bool no_calls() {
  std::int64_t sum = 0;
  for (const CallCounter& counter : g_calls) sum += counter.calls.load();
  return sum <= 0;  // A copy of a process in a call begins with less than none.
}

// The copy has one thread, and of what the original is connected with it has nothing.
void forget_in_copy() {
  if (g_process.load(std::memory_order_relaxed) == nullptr) return;
  g_process.store(nullptr, std::memory_order_relaxed);
  g_why_none.store(NoRuntime::kForked, std::memory_order_relaxed);
  for (CallCounter& counter : g_calls) counter.calls.store(0, std::memory_order_relaxed);
}

}  // namespace

Process* current_process() { return g_process.load(std::memory_order_acquire); }

void set_current_process(Process* process) {
  [[maybe_unused]] static const int watched = ::pthread_atfork(nullptr, nullptr, &forget_in_copy);
  if (process == nullptr) g_why_none.store(NoRuntime::kNoMore);
  g_process.store(process);
}

bool calls_have_ended(base::Duration patience) {
  const base::Time until = os::now() + patience;
  while (!no_calls()) {
    if (os::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return true;
}

// Counted before it looks, while the end takes the runtime away before it counts: one of the two sees the other.
RuntimeUse::RuntimeUse() {
  my_calls().fetch_add(1, std::memory_order_seq_cst);
  runtime_ = g_process.load(std::memory_order_seq_cst);
}

RuntimeUse::~RuntimeUse() { my_calls().fetch_sub(1, std::memory_order_release); }

NoRuntime why_no_runtime() { return g_why_none.load(); }

const ActorId& ActorRef::id() const { return state_->id; }

void Encoder::ref(const ObjectRef& ref) {
  const RuntimeUse use;
  if (Process* process = current_process()) process->reference_codec().encode_reference(ref, meta_);
  refs_.push_back(ref);
}

void Encoder::actor(const ActorRef& actor) {
  const RuntimeUse use;
  if (Process* process = current_process()) process->reference_codec().encode_actor(actor, meta_);
  if (actor.state()->handle) refs_.push_back(actor.state()->handle);
}

ObjectRef Decoder::ref() {
  const RuntimeUse use;
  Process* const process = current_process();
  ObjectRef ref = process != nullptr && ok() ? process->reference_codec().decode_reference(cursor_) : ObjectRef();
  if (!ref) fail();
  return ref;
}

ActorRef Decoder::actor() {
  const RuntimeUse use;
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
    const RuntimeUse use;
    Process* const process = current_process();
    if (process == nullptr) return;  // The call that these are for will say so.
    auto put = process->puts().put_payload(value);
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
    return;
  }
  const RuntimeUse use;
  if (Process* process = current_process()) process->dropped(object);
}

}  // namespace detail
}  // namespace mobula::runtime
