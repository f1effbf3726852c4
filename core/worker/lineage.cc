#include "core/worker/lineage.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/os/event_loop.h"

namespace mobula::runtime {
namespace {

using base::ErrorKind;
using objstore::Hopeless;
using objstore::LetLineageGo;

// What a record costs besides the arguments' bytes: the tables' nodes, the machine's record, each argument's name.
constexpr std::uint64_t kRecordBytes = 512;
constexpr std::uint64_t kArgumentBytes = 64;

bool is_put(const base::ObjectId& object) {
  return object.index() >= base::kPutIndex && object.index() != kHandleIndex;
}

std::string is_gone(const base::ObjectId& object) {
  if (object.index() == kHandleIndex) return "the handle of an actor that has ended";
  return is_put(object) ? "which was made by put(), is not referred to any more" : "which is not referred to any more";
}

}  // namespace

Lineage::Lineage(Parts parts, std::uint64_t bytes_max)
    : p_(parts), bytes_max_(bytes_max), machine_({.bytes_max = bytes_max}) {
  p_.calls.set_history(*this);
  p_.references.values().recover_with([this](LocalObject& object) { recover(object); });
  p_.references.on_made_dropped([this](const base::ObjectId& object) { dropped(object); });
}

// ---- what is kept -----------------------------------------------------------------------------------

std::int64_t Lineage::retries_max(const Task& task) const {
  if (task.cancelled) return 0;
  return task.actor != nullptr ? task.actor->max_task_retries : p_.submitter.max_retries(task);
}

std::uint32_t Lineage::retries_left(const Task& task, std::uint32_t attempt) const {
  const std::int64_t max = retries_max(task);
  if (max < 0) return objstore::kRetriesWithoutEnd;
  return static_cast<std::uint32_t>(std::max<std::int64_t>(max - attempt, 0));
}

Lineage::Argument Lineage::keep_argument(const ObjectRef& ref, std::uint64_t converter, objstore::Keep& keep) {
  LocalObject& object = local(ref);
  Argument argument{object.id(), converter, {}};
  keep.bytes += kArgumentBytes;
  if (object.made) keep.needs.push_back(object.id());
  // An actor's handle would keep the actor.
  const bool is_handle = object.id().index() == kHandleIndex;
  const bool is_small = object.status() == ObjectStatus::kReady && object.size() <= kInlineBytesMax;
  if (!object.borrowed() && !is_handle && is_small && !object.made) {
    argument.held = ref;
    keep.bytes += object.size();
  } else {
    p_.references.list(object);  // By its name it is found again.
  }
  return argument;
}

void Lineage::keep(Task& task) {
  objstore::Keep keep{.task = task.id, .results = {}, .needs = {}, .bytes = kRecordBytes, .retries = 0};
  keep.retries = retries_left(task, task.attempt);
  task.each_result([&](ObjectRef& result) {
    LocalObject& object = local(result);
    p_.references.list(object);
    object.made = true;
    keep.results.push_back(object.id());
  });
  Call& call = calls_[task.id];
  call.function = task.function;
  call.options = task.options;
  call.of_actor = task.actor != nullptr;
  call.actor = task.actor;
  call.returns = task.returns;
  call.attempt = task.attempt;
  if (keep.retries != 0) {
    Arguments& arguments = task.arguments;
    for (const auto& d : arguments.dependencies_) {
      call.dependencies.push_back(keep_argument(d.ref, d.converter, keep));
    }
    for (const ObjectRef& ref : arguments.contained_) call.contained.push_back(keep_argument(ref, 0, keep));
    call.bytes = std::move(arguments.bytes_);
    call.count = arguments.count_;
    keep.bytes += call.bytes.size();
  }
  step(std::move(keep));
}

void Lineage::dropped(const base::ObjectId& object) { step(objstore::Dropped{object}); }

// ---- what is lost -----------------------------------------------------------------------------------

void Lineage::recover(LocalObject& object) { step(objstore::Lost{object.id()}); }

void Lineage::ended_again(Task& task) {
  // One that was never sent has not cost a retry.
  const bool sent = task.state == Task::State::kInFlight || task.attempt != task.first_attempt;
  const std::uint32_t attempt = sent ? task.attempt : task.attempt - 1;
  if (const auto call = calls_.find(task.id); call != calls_.end()) call->second.attempt = attempt;
  step(objstore::Ended{task.id, retries_left(task, attempt)});
}

void Lineage::step(objstore::LineageInput input) {
  inputs_.push_back(std::move(input));
  if (busy_) return;
  busy_ = true;
  while (!inputs_.empty()) {
    objstore::LineageInput next = std::move(inputs_.front());
    inputs_.pop_front();
    machine_.step(os::now(), std::move(next), out_);
    for (const objstore::LineageOutput& output : std::exchange(out_, {})) carry_out(output);
  }
  busy_ = false;
  p_.metrics.lineage_bytes.set(machine_.counts().bytes);
}

void Lineage::carry_out(const objstore::LineageOutput& output) {
  if (const auto* rerun = std::get_if<objstore::Rerun>(&output)) {
    run_again(*rerun);
  } else if (const auto* hopeless = std::get_if<Hopeless>(&output)) {
    give_up(*hopeless);
  } else {
    const auto& go = std::get<LetLineageGo>(output);
    const auto call = calls_.find(go.task);
    if (call == calls_.end()) return;
    if (go.why == LetLineageGo::Why::kUnneeded) {
      const Call gone = std::move(call->second);  // What it held is dropped last.
      calls_.erase(call);
      return;
    }
    p_.metrics.lineage_let_go.add();
    call->second.bytes = base::Buffer();
    call->second.dependencies.clear();
    call->second.contained.clear();
  }
}

Arguments Lineage::arguments_of(const Call& call, std::optional<base::ObjectId>& missing) const {
  Arguments arguments;
  arguments.bytes_.append(call.bytes.view());
  arguments.count_ = call.count;
  const auto find = [&](const Argument& argument) {
    ObjectRef ref = argument.held ? argument.held : p_.references.find(argument.object);
    if (!ref && !missing) missing = argument.object;
    return ref;
  };
  for (const Argument& d : call.dependencies) {
    if (ObjectRef ref = find(d)) arguments.dependencies_.push_back({std::move(ref), d.converter});
  }
  for (const Argument& c : call.contained) {
    if (ObjectRef ref = find(c)) arguments.contained_.push_back(std::move(ref));
  }
  return arguments;
}

void Lineage::run_again(const objstore::Rerun& rerun) {
  const auto at = calls_.find(rerun.task);
  if (at == calls_.end()) return;
  const Call& call = at->second;
  p_.metrics.calls_again.add();
  std::optional<base::ObjectId> missing;
  Task& task = p_.calls.make_again(*call.function, rerun.task, arguments_of(call, missing), call.returns);
  task.options = call.options;
  task.attempt = task.first_attempt = call.attempt + 1;
  task.retries = rerun.retries == objstore::kRetriesWithoutEnd ? -1 : static_cast<std::int64_t>(rerun.retries);
  std::shared_ptr<ActorState> actor = call.actor.lock();
  task.actor = actor;
  if (missing) {
    return p_.calls.fail(task, lost(*missing, std::string("an argument of ") + function_name(*call.function) + ", " +
                                                  is_gone(*missing)));
  }
  if (!call.of_actor) return p_.submitter.submit_again(task);
  if (actor == nullptr) return p_.calls.fail(task, lost(base::object_of(rerun.task, 1), "its actor is gone"));
  p_.actors.call_again(ActorRef(std::move(actor)), task);
}

// ---- what cannot be had -----------------------------------------------------------------------------

ErrorInfo Lineage::lost(const base::ObjectId& object, std::string why) const {
  ErrorInfo error;
  error.kind = ErrorKind::kObjectLost;
  error.what = "every copy of the object is gone, and it cannot be made again: " + std::move(why);
  error.evidence.push_back("object " + object.hex());
  return error;
}

void Lineage::give_up(const Hopeless& hopeless) {
  p_.metrics.objects_hopeless.add();
  const ObjectRef ref = p_.references.find(hopeless.object);
  if (!ref) return;
  const auto call = calls_.find(base::task_of(hopeless.culprit));
  const std::string task = call == calls_.end() ? "its task" : "its task " + function_name(*call->second.function);
  std::string why =
      hopeless.culprit == hopeless.object ? "" : "it is made from " + hopeless.culprit.short_hex() + ", and ";
  std::string remedy;
  switch (hopeless.why) {
    case Hopeless::Why::kNotMade:
      why += is_put(hopeless.object) ? "it was made by put(), not by a task" : "no task is known to make it";
      remedy = "let a task make it, which can be run again";
      break;
    case Hopeless::Why::kNoRetries:
      why += task + " has no retries left";
      if (call != calls_.end()) why += " (attempt " + std::to_string(call->second.attempt + 1) + " was the last)";
      remedy = "allow more: .with({.max_retries = n}) for tasks, max_restarts and max_task_retries for actors";
      break;
    case Hopeless::Why::kNoLineage:
      why += "what " + task + " needs to be run again was let go of, since there was more than max_lineage_bytes (" +
             std::to_string(bytes_max_) + " bytes)";
      remedy = "keep more: MOBULA_MAX_LINEAGE_BYTES, or pass large arguments by reference";
      break;
  }
  ErrorInfo error = lost(hopeless.object, std::move(why));
  error.remedy = std::move(remedy);
  if (call != calls_.end()) error.function = function_name(*call->second.function);
  for (std::string& line : p_.references.values().evidence_of_loss(local(ref))) {
    error.evidence.push_back(std::move(line));
  }
  p_.references.values().fail(local(ref), std::move(error));
}

ErrorInfo Lineage::loss(const Task& task, ErrorInfo why) {
  const bool is_own_word = why.kind == ErrorKind::kTask || why.kind == ErrorKind::kCancelled ||
                           why.kind == ErrorKind::kClusterDown || why.kind == ErrorKind::kOwnerDied;
  if (is_own_word) return why;
  ErrorInfo error = why;
  error.kind = ErrorKind::kObjectLost;
  if (why.kind != ErrorKind::kObjectLost) {
    error.what = "every copy of the object is gone, and its task failed when it was run again: " + why.what;
    error.cause = why.what;
  }
  error.evidence.push_back("made by " + function_name(*task.function) + ", attempt " +
                           std::to_string(task.attempt + 1));
  return error;
}

}  // namespace mobula::runtime
