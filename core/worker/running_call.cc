#include "core/worker/running_call.h"

#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>

#include "core/os/host.h"
#include "core/worker/executor.h"
#include "core/worker/writable.h"

namespace mobula::runtime {

CallScope*& current_scope() {
  thread_local CallScope* scope = nullptr;
  return scope;
}

bool RunningCall::accept(Peer& sender, const CallHeader& h, ConstBytes payload) {
  from = &sender;
  header = h;
  scope = CallScope{h.task, executor_.actor().id(), h.job, h.attempt, 0, 0, this};
  entry = find_function(h.function);
  return parse(payload, h.arguments, h.argument_bytes, h.dependencies);
}

bool RunningCall::accept_constructor(const FunctionEntry& constructor, const base::TaskId& task, const base::JobId& job,
                                     ConstBytes spec) {
  from = nullptr;
  header = CallHeader{};
  header.task = task;
  scope = CallScope{task, executor_.actor().id(), job, 0, 0, 0, this};
  entry = &constructor;
  base::Cursor in(spec);
  const auto count = in.get<std::uint32_t>();
  const auto bytes = in.get<std::uint32_t>();
  const auto dependencies = in.get<std::uint32_t>();
  if (!in.ok()) return false;
  return parse({in.at(), in.left()}, count, bytes, dependencies);
}

bool RunningCall::parse(ConstBytes message, std::uint32_t count, std::size_t argument_bytes, std::size_t dependencies) {
  payload_.append(message);
  CallBody body(payload_.view(), count, argument_bytes, dependencies);
  if (!body.plausible()) return false;
  if (dependencies != 0) dependencies_ = std::make_unique<Dependency[]>(dependencies);
  dependency_count_ = dependencies;
  arguments_.resize(count);
  CallBody::Argument argument;
  std::size_t used = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!body.next(argument)) return false;
    ArgumentView& view = arguments_[i];
    view.plain = argument.is_plain;
    if (argument.is_reference) {
      dependencies_[used].argument = i;
      depend_on(argument, dependencies_[used++], view);
    } else {
      view.view.bytes = argument.bytes;
      if (!view.plain && has_buffers(argument.bytes)) view.view = aligned_copy(argument.bytes);
    }
  }
  return body.complete();
}

void RunningCall::depend_on(CallBody::Argument& argument, Dependency& dependency, ArgumentView& view) {
  view.converter = argument.converter;
  DescribedValue& value = argument.value;
  if (value.head.place == Place::kInline) {
    view.view = has_buffers(value.bytes) ? aligned_copy(value.bytes) : View{value.bytes, nullptr};
    return;
  }
  References& references = executor_.parts().references;
  dependency.call = this;
  dependency.ref = references.adopt(argument.object, argument.owner, References::Borrow::kLater);
  LocalObject& object = local(dependency.ref);
  references.values().settle_described(object, value.head, value.bytes, std::move(value.holders));
  adopted.push_back(dependency.ref);
}

bool RunningCall::waits_for_lost() const {
  if (state != State::kWaiting) return false;
  for (std::size_t i = 0; i < dependency_count_; ++i) {
    if (dependencies_[i].ref && local(dependencies_[i].ref).sought) return true;
  }
  return false;
}

void RunningCall::Dependency::object_ready(LocalObject& object) {
  if (object.status() == ObjectStatus::kError) {
    call->executor_.argument_lost(*call, object.error());
    return;
  }
  call->arguments_[argument].view = object.view();
  if (--call->missing == 0) call->executor_.arguments_here(*call);
}

void RunningCall::reset() {
  arguments_.clear();
  for (std::size_t i = 0; i < dependency_count_; ++i) {
    if (dependencies_[i].ref) local(dependencies_[i].ref).remove_waiter(dependencies_[i]);
  }
  dependencies_.reset();
  dependency_count_ = 0;
  payload_.clear();
  reply.clear();
  adopted.clear();
  returned.clear();
  error.reset();
  failed = false;
  delivered = false;
  waits_for_itself = false;
  has_waited = false;
  next_result_ = 0;
  missing = 0;
  run_ns = 0;
  children_cancelled.reset();
  entry = nullptr;
  from = nullptr;
  cancelled_flag.store(false, std::memory_order_relaxed);
}

void* RunningCall::instance() { return executor_.actor().instance().get(); }

void RunningCall::set_instance(std::shared_ptr<void> instance, const Persistence& persistence) {
  executor_.actor().set_instance(std::move(instance), persistence);
}

void RunningCall::append_result(std::uint32_t index, const Returned& head, ConstBytes bytes) {
  if (index != next_result_ || failed) return;  // The thunks hand results over in order, each once.
  ++next_result_;
  delivered = true;
  reply.put(head);
  reply.append(bytes);
}

// Before it touches what it shares with the worker: the engine's lock, the store, the caller's connection.
void RunningCall::end_if_copy() const {
  if (os::fork_generation() == generation_) return;
  const std::string text = "mobula: a fork() of this worker came back from " + function_name(*entry) +
                           " and is ended: leave the child by _exit(), or let it exec a program\n";
  std::fputs(text.c_str(), stderr);
  ::_exit(1);
}

void RunningCall::result(std::uint32_t index, Encoder&& value) {
  end_if_copy();
  for (ObjectRef& ref : value.refs()) returned.push_back(std::move(ref));
  Returned head;
  head.size = value.payload_bytes();
  if (head.size > kInlineBytesMax) return store_result(index, value);
  if (index != next_result_ || failed) return;
  ++next_result_;
  delivered = true;
  reply.put(head);
  if (value.plain()) {
    reply.put(static_cast<std::uint32_t>(value.meta().size()));
    reply.put(std::uint32_t{0});
    reply.append(value.meta());
  } else {
    value.flatten(reply.extend(head.size));
  }
}

void RunningCall::result(std::uint32_t index, std::unique_ptr<WritableObject> sealed) {
  end_if_copy();
  if (auto* heap = dynamic_cast<HeapObject*>(sealed.get())) {
    Returned head;
    head.size = heap->bytes().size();
    return append_result(index, head, heap->bytes());
  }
  seal_result(index, static_cast<StoreObject&>(*sealed).allocation());
}

void RunningCall::store_result(std::uint32_t index, const Encoder& value) {
  const Executor::Parts& p = executor_.parts();
  const std::size_t size = value.payload_bytes();
  Engine::Lock lock(p.engine);
  auto allocation = p.store.allocate(lock, size);
  lock.unlock();
  if (!allocation) return fail_full(size, allocation.error().what);
  value.flatten(allocation->bytes().data());
  seal_result(index, *allocation);
}

// Under the id of the return, so that the object need not be copied to become one.
void RunningCall::seal_result(std::uint32_t index, objstore::Allocation& allocation) {
  const Executor::Parts& p = executor_.parts();
  const std::size_t size = allocation.bytes().size();
  Engine::Lock lock(p.engine);
  const auto sealed =
      p.store.seal(std::move(allocation), base::object_of(header.task, index + 1), objstore::Copy::kPrimary);
  lock.unlock();
  if (!sealed) return fail_full(size, sealed.error().what);
  Returned head;
  head.place = Place::kStore;
  head.holders = 1;
  head.size = size;
  append_result(index, head, base::object_bytes(p.links.self().node));
}

void RunningCall::fail_full(std::size_t size, const std::string& why) {
  ErrorInfo full;
  full.kind = base::ErrorKind::kObjectStoreFull;
  full.what = "a result of " + std::to_string(size) + " bytes does not fit into the node's store";
  full.evidence.push_back(why);
  full.remedy = "return less, drop references that are not needed, or give the store more: MOBULA_STORE_BYTES";
  fail(full);
}

void RunningCall::describe(ErrorInfo& e) const {
  if (e.function.empty() && entry != nullptr) e.function = function_name(*entry);
  if (e.node.empty()) e.node = os::host_name() + " " + executor_.parts().links.self().node.short_hex();
  if (e.pid == 0) e.pid = executor_.parts().links.self().pid;
  e.attempt = header.attempt;
}

void RunningCall::fail(const ErrorInfo& why) {
  end_if_copy();
  if (failed) return;
  failed = true;
  delivered = true;
  ErrorInfo told = why;
  describe(told);
  reply.clear();
  returned.clear();
  encode(told, reply);
  if (from == nullptr) error = std::move(told);
}

void RunningCall::bad_argument(std::size_t i) {
  ErrorInfo e;
  e.kind = base::ErrorKind::kInvalid;
  e.what = "argument " + std::to_string(i + 1) + " does not decode to the parameter's type";
  e.remedy = "driver and worker must run the same build; `mobula list nodes` shows the build-ids";
  fail(e);
}

std::shared_ptr<Invocation> RunningCall::suspend() {
  end_if_copy();
  executor_.suspend(*this);
  return std::shared_ptr<Invocation>(this, [](Invocation* i) {
    auto* call = static_cast<RunningCall*>(i);
    call->executor_.resume_ended(*call);
  });
}

}  // namespace mobula::runtime
