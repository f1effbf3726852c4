// Calls, waits and results: the untyped side of ref.h, actor.h, wait.h and detail/invoke.h.
#include <cxxabi.h>

#include <limits>

#include "core/api/runtime_access.h"
#include "mobula/mobula.h"

namespace mobula {

runtime::ActorRef get_actor_ref(std::string_view name, std::string_view ns) {
  auto found = detail::InSession()->get_actor(std::string(name), std::string(ns));
  if (!found) detail::throw_error(found.error());
  return std::move(*found);
}

namespace detail {

std::optional<base::Time> deadline_of(TimeLimit limit) {
  if (limit.never()) return std::nullopt;
  const base::Time now = std::chrono::steady_clock::now();
  if (limit.duration() > base::Time::max() - now) return std::nullopt;
  return now + limit.duration();
}

// ---- objects.

namespace {

// Why a wait ended before its time, or that its time is over.
std::shared_ptr<const base::ErrorInfo> early_end(const runtime::Runtime& runtime, TimeLimit limit, std::size_t settled,
                                                 std::size_t wanted) {
  if (auto why = runtime.why_wait_ended()) return std::make_shared<const base::ErrorInfo>(std::move(*why));
  return timeout_info(limit.duration(), settled, wanted);
}

void check_given(const ObjectRef& ref) {
  if (!ref) throw_invalid("this Ref refers to nothing", "a Ref comes from a remote call, put() or seal()");
}

}  // namespace

bool is_ready(const ObjectRef& ref) {
  check_given(ref);
  return ref->settled();
}

std::shared_ptr<const base::ErrorInfo> settle(const ObjectRef& ref, TimeLimit limit) {
  check_given(ref);
  using runtime::ObjectStatus;
  ObjectStatus status = ref->status();
  if (status == ObjectStatus::kPending || status == ObjectStatus::kRemote) {
    const InSession session;
    const auto found = session->wait({&ref, 1}, 1, deadline_of(limit), runtime::FetchLocal::kYes);
    status = ref->status();
    if (found == 0 && status != ObjectStatus::kReady && status != ObjectStatus::kError) {
      return early_end(*session, limit, 0, 1);
    }
  }
  if (status == ObjectStatus::kError) return std::make_shared<const base::ErrorInfo>(ref->error());
  return nullptr;
}

void await_value(const ObjectRef& ref, TimeLimit limit) {
  if (ref && ref->status() == runtime::ObjectStatus::kReady) return;
  if (const auto failed = settle(ref, limit)) throw_error(*failed);
}

Decoder decoder_of(const ObjectRef& ref) { return Decoder::payload(ref->view()); }

ObjectRef put_encoded(Encoder&& value) {
  check_encoded(value);
  auto made = InSession()->put(std::move(value));
  if (!made) throw_error(made.error());
  return std::move(*made);
}

void check_encoded(const Encoder& out) {
  if (out.meta().size() > std::numeric_limits<std::uint32_t>::max()) {
    throw_invalid("a value of " + std::to_string(out.meta().size()) + " bytes in small pieces is too long to travel",
                  "keep long data in contiguous vectors or in an Array, which travel beside the message");
  }
}

void settle_all(std::span<const ObjectRef> refs, TimeLimit limit) {
  for (const ObjectRef& ref : refs) check_given(ref);
  if (refs.empty()) return;
  const InSession session;
  const std::size_t here = session->wait(refs, refs.size(), deadline_of(limit), runtime::FetchLocal::kYes);
  if (here < refs.size()) throw_error(*early_end(*session, limit, here, refs.size()));
}

std::vector<bool> wait_some(std::span<const ObjectRef> refs, const WaitOptions& options) {
  if (options.count > refs.size()) {
    throw_invalid("wait for " + std::to_string(options.count) + " of " + std::to_string(refs.size()) + " refs");
  }
  for (const ObjectRef& ref : refs) check_given(ref);
  if (options.count != 0) {
    const InSession session;
    const std::size_t here = session->wait(refs, options.count, deadline_of(options.timeout), runtime::FetchLocal::kNo);
    if (here < options.count) {
      if (const auto why = session->why_wait_ended()) throw_error(*why);
    }
  }
  std::vector<bool> done(refs.size());
  std::size_t left = options.count;
  for (std::size_t i = 0; i < refs.size() && left != 0; ++i) {
    done[i] = refs[i]->settled();
    left -= done[i] ? 1 : 0;
  }
  return done;
}

void cancel_ref(const ObjectRef& ref, CancelOptions options) {
  check_given(ref);
  InSession()->cancel(ref, options.force, options.recursive);
}

// ---- actors.

namespace {
void check_given(const runtime::ActorRef& actor) {
  if (!actor) throw_invalid("this ActorHandle refers to nothing", "a handle comes from actor<C>(...) or get_actor<C>");
}
}  // namespace

void kill_actor(const runtime::ActorRef& actor, KillOptions options) {
  check_given(actor);
  InSession()->kill(actor, options.no_restart);
}

runtime::ActorRef create_actor(const FunctionEntry& constructor, const runtime::ActorSpecOptions& options,
                               runtime::Arguments&& arguments) {
  auto made = InSession()->create_actor(constructor, options, std::move(arguments));
  if (!made) throw_error(made.error());
  return std::move(*made);
}

void call_method(const runtime::ActorRef& actor, const FunctionEntry& method, runtime::Arguments&& arguments,
                 std::span<ObjectRef> out) {
  check_given(actor);
  InSession()->call(actor, method, std::move(arguments), out);
}

void* check_instance(Invocation& invocation, const std::type_info& wanted) {
  auto* instance = static_cast<Instance*>(invocation.instance());
  if (instance == nullptr || *instance->type != wanted) {
    const std::string is = instance == nullptr ? "nothing" : "a " + runtime::demangle(instance->type->name());
    throw_invalid("this actor is " + is + ", not a " + runtime::demangle(wanted.name()),
                  "name the class in get_actor<C>(name) that the actor was made with");
  }
  return instance;
}

// ---- the worker's side.

namespace {

// Whether the nested name of a mangled encoding has a part of internal linkage, which is marked by an L: N 1t L
// 8internal E.
bool nested_internal(std::string_view encoding) {
  std::size_t at = 0;
  const auto digit = [&](std::size_t i) { return i < encoding.size() && encoding[i] >= '0' && encoding[i] <= '9'; };
  if (!encoding.starts_with('N')) return encoding.starts_with('L') && digit(1);
  for (++at; at < encoding.size() && std::string_view("KVrRO").find(encoding[at]) != std::string_view::npos;) ++at;
  for (;;) {
    if (at < encoding.size() && encoding[at] == 'L' && digit(at + 1)) return true;
    if (!digit(at)) return false;
    std::size_t length = 0;
    while (digit(at)) length = length * 10 + static_cast<std::size_t>(encoding[at++] - '0');
    at += length;
  }
}

// Whether two modules may each have a function of that name: it is static, or in an unnamed namespace, or inside such.
bool has_internal_linkage(std::string_view mangled) {
  if (mangled.find("_GLOBAL__N_") != mangled.npos) return true;
  for (std::size_t at = mangled.find('Z'); at != mangled.npos; at = mangled.find('Z', at + 1)) {
    if (nested_internal(mangled.substr(at + 1))) return true;
  }
  return false;
}

}  // namespace

FunctionEntry make_entry(const char* name, FunctionKind kind, void (*invoke)(Invocation&)) {
  const std::string_view text(name);
  return {base::hash64(text), name, kind, has_internal_linkage(text), invoke};
}

runtime::ConverterEntry make_converter(const char* name, void (*convert)(Decoder&, void*)) {
  return {base::hash64(name), convert};
}

void run_guarded(Invocation& invocation, const FunctionEntry& entry, void (*body)(Invocation&)) {
  const ThrowRecorder recorder;
  try {
    body(invocation);
  } catch (abi::__forced_unwind&) {
    throw;  // The thread is being cancelled.
  } catch (...) {
    fail_with_current(invocation, entry);
  }
}

void fail_with_current(Invocation& invocation, const FunctionEntry& entry) {
  invocation.fail(capture_current_exception(runtime::function_name(entry)));
}

ArgumentReader::ArgumentReader(Invocation& invocation, std::size_t count) : invocation_(invocation) {
  if (invocation.argument_count() != count) {
    ok_ = false;
    invocation.bad_argument(std::min(count, invocation.argument_count()));
  }
}

const runtime::ArgumentView* ArgumentReader::next() {
  if (!ok_) return nullptr;
  return &invocation_.argument(next_++);
}

void ArgumentReader::check(const Decoder& in) {
  if (!ok_ || (in.ok() && in.left() == 0)) return;
  ok_ = false;
  invocation_.bad_argument(next_ - 1);
}

void ArgumentReader::convert(const runtime::ArgumentView& view, void* to) {
  Decoder in = view.decoder();
  const runtime::ConverterEntry* converter = runtime::find_converter(view.converter);
  if (converter == nullptr) {
    in.fail();
    check(in);
    return;
  }
  converter->convert(in, to);
  if (!in.ok() || in.left() != 0) {
    throw_invalid("argument " + std::to_string(next_ - 1) + " did not decode to the type that it is converted from");
  }
}

}  // namespace detail
}  // namespace mobula
