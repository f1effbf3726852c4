#include "core/worker/calls.h"

#include <utility>

namespace mobula::runtime {
namespace {

// What the arguments of a call refer to.
void append_references(const Task& task, std::vector<ObjectRef>& refs) {
  for (const Arguments::Dependency& d : task.arguments.dependencies_) refs.push_back(d.ref);
  refs.insert(refs.end(), task.arguments.contained_.begin(), task.arguments.contained_.end());
}

// Whether one of the results in the reply lies in a store.
bool leaves_in_store(ConstBytes payload, std::uint16_t returns) {
  base::Cursor in(payload);
  for (std::uint16_t i = 0; i < returns; ++i) {
    const auto head = in.get<Returned>();
    if (!in.ok()) return false;
    if (head.place == Place::kStore) return true;
    (void)in.take(head.size);
  }
  return false;
}

}  // namespace

// Before anybody waits for them: an owner that is known to be gone makes its object an error here and now, and what is
// lost is looked for.
void Calls::look_for_arguments(Task& task) {
  for (const Arguments::Dependency& d : task.arguments.dependencies_) {
    LocalObject& object = local(d.ref);
    if (object.status() == ObjectStatus::kPending && object.borrowed()) references_.values().ask_owner(object);
    if (object.status() == ObjectStatus::kRemote) references_.values().seek_if_lost(object);
  }
}

Task& Calls::make(const FunctionEntry& function, const base::TaskId& id, Arguments&& arguments,
                  std::span<ObjectRef> out) {
  Task& task = tasks_.make();
  task.function = &function;
  task.id = id;
  task.arguments = std::move(arguments);
  task.returns = static_cast<std::uint16_t>(out.size());
  look_for_arguments(task);
  for (std::size_t i = 0; i < out.size(); ++i) {
    LocalObject* object = references_.make(base::object_of(id, static_cast<std::uint32_t>(i + 1)));
    object->task = task.handle();
    out[i] = ObjectRef(object);
    if (i == 0) {
      task.result = out[0];
    } else {
      task.more_results.push_back(out[i]);
    }
  }
  return task;
}

Task& Calls::make_again(const FunctionEntry& function, const base::TaskId& id, Arguments&& arguments,
                        std::uint16_t returns) {
  Task& task = tasks_.make();
  task.function = &function;
  task.id = id;
  task.again = true;
  task.arguments = std::move(arguments);
  task.returns = returns;
  for (std::uint32_t i = 1; i <= returns; ++i) {
    ObjectRef ref = references_.find(base::object_of(id, i));
    if (!ref) {
      ref = ObjectRef(references_.make(base::object_of(id, i)));
      local(ref).made = true;
      local(ref).task = task.handle();
      references_.list(local(ref));
    }
    if (i == 1) {
      task.result = std::move(ref);
    } else {
      task.more_results.push_back(std::move(ref));
    }
  }
  look_for_arguments(task);
  return task;
}

ConstBytes Calls::payload_of(Task& task, base::Buffer& scratch) {
  const Arguments& arguments = task.arguments;
  if (arguments.dependencies_.empty()) return arguments.bytes_.view();
  scratch.clear();
  scratch.append(arguments.bytes_.view());
  for (const Arguments::Dependency& d : arguments.dependencies_) {
    LocalObject& object = local(d.ref);
    scratch.put(d.converter);
    scratch.put(object.id());
    // What lies in a store is fetched by the worker, which needs to know whom to ask.
    if (object.status() == ObjectStatus::kRemote || object.size() > kInlineBytesMax) references_.list(object);
    references_.values().describe(object, scratch);
    encode(object.borrowed() ? object.more().owner->address : links_.self(), scratch);
  }
  return scratch.view();
}

void Calls::send(Task& task, Peer& worker, std::uint64_t incarnation) {
  CallHeader header;
  header.target = task.target;
  header.returns = task.returns;
  header.arguments = task.arguments.count_;
  header.call = task.handle();
  header.function = task.function->id;
  header.sequence = task.sequence;
  header.incarnation = incarnation;
  header.argument_bytes = static_cast<std::uint32_t>(task.arguments.bytes_.size());
  header.dependencies = static_cast<std::uint32_t>(task.arguments.dependencies_.size());
  header.attempt = task.attempt;
  header.task = task.id;
  task.state = Task::State::kInFlight;
  task.worker = &worker;
  metrics_.calls_sent.add();
  links_.send(worker, Hot::kCall, base::object_bytes(header), payload_of(task, scratch_));
}

void Calls::send_cancel(Task& task, bool force, bool recursive) {
  if (task.worker == nullptr) return;
  CancelHeader header;
  header.force = force ? 1 : 0;
  header.recursive = recursive ? 1 : 0;
  header.call = task.handle();
  links_.send(*task.worker, Hot::kCancel, base::object_bytes(header), {});
}

void Calls::adopt_returned_references(Task& task, Peer& from, const ReplyHeader& header, base::Cursor& in) {
  std::vector<ObjectRef> held;
  for (std::uint32_t i = 0; i < header.references && in.ok(); ++i) {
    const auto id = in.get<ObjectId>();
    const auto owner = decode_address(in);
    if (!owner) break;
    held.push_back(references_.adopt(id, *owner, References::Borrow::kLater));
  }
  auto& contained = local(task.result).more().contained;
  contained.insert(contained.end(), held.begin(), held.end());
  local(task.result).entangle();
  references_.borrows().take_over(from, header.call, held);
}

std::vector<ObjectRef> Calls::references_at(const Peer& worker) {
  std::vector<ObjectRef> refs;
  tasks_.each_live([&](const Task& task) {
    if (task.worker == &worker) append_references(task, refs);
  });
  return refs;
}

void Calls::hold_after_loss(Task& task) {
  if (task.worker == nullptr || task.worker->lost) return;
  std::vector<ObjectRef> refs;
  append_references(task, refs);
  references_.borrows().hold_for(*task.worker, std::move(refs));
}

bool Calls::read_results(Task& task, Peer& from, const ReplyHeader& header, ConstBytes payload) {
  base::Cursor in(payload);
  DescribedValue v;
  const auto settle = [&](ObjectRef& result) {
    if (!read_described(in, v)) return in.fail();
    local(result).task = LocalObject::kNoTask;
    references_.values().settle_result(local(result), v.head, v.bytes, v.holders);
  };
  if (header.returns != task.returns) return false;
  task.each_result(settle);
  if (in.ok() && header.references != 0) adopt_returned_references(task, from, header, in);
  return in.ok();
}

bool Calls::succeed(Task& task, Peer& from, const ReplyHeader& header, ConstBytes payload) {
  if (task.again) {
    history_->ended_again(task);
  } else if (leaves_in_store(payload, header.returns)) {
    history_->keep(task);
  }
  const bool ok = read_results(task, from, header, payload);
  if (!ok) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kWorkerDied;
    error.what = "the worker's reply cannot be read";
    error.function = name_of(task);
    error.pid = from.address.pid;
    task.each_result([&](ObjectRef& r) {
      if (!local(r).has_value()) references_.values().fail(local(r), error);
    });
  }
  tasks_.release(task);
  return ok;
}

void Calls::fail(Task& task, ErrorInfo error) {
  if (error.function.empty()) error.function = name_of(task);
  error.attempt = task.attempt;
  metrics_.calls_failed.add();
  forget_arguments(task);
  if (task.again) {
    error = history_->loss(task, std::move(error));
    history_->ended_again(task);
  }
  task.each_result([&](ObjectRef& r) {
    if (local(r).has_value()) return;
    local(r).task = LocalObject::kNoTask;
    references_.values().fail(local(r), error);
  });
  tasks_.release(task);
}

}  // namespace mobula::runtime
