#include "core/worker/submitter.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "core/os/event_loop.h"
#include "core/os/log.h"
#include "core/worker/options_codec.h"

namespace mobula::runtime {
namespace {

using scheduler::SubmitInput;

constexpr auto kCauseGrace = std::chrono::seconds(1);  // For the raylet to tell why a worker died.

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // Clang 14 does not find it itself.

ErrorInfo cause_of(const proto::ExitCause& cause, const Peer& peer) {
  ErrorInfo error;
  error.kind = base::ErrorKind::kWorkerDied;
  if (cause.kind() == proto::ExitCause::NODE_DIED) error.kind = base::ErrorKind::kNodeDied;
  if (cause.kind() == proto::ExitCause::OUT_OF_MEMORY) error.kind = base::ErrorKind::kOutOfMemory;
  error.what = "the worker that ran the task has died: " + cause.text();
  error.pid = peer.address.pid;
  error.node = peer.address.host + " " + peer.address.node.short_hex();
  error.evidence.push_back(cause.text());
  for (const std::string& line : cause.last_lines()) error.evidence.push_back("it wrote: " + line);
  error.remedy = cause.remedy();
  return error;
}

// As many in flight as the machine allows, where tasks are short: a worker without a spin token sleeps between batches,
// and a batch of 16 calls of a microsecond is not worth a wake-up of five.
scheduler::SubmitLimits limits() {
  scheduler::SubmitLimits l;
  l.depth_max = scheduler::SubmitMachine::kDepthMax;
  return l;
}

std::string seconds(base::Duration d) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", std::chrono::duration<double>(d).count());
  return text.data();
}

}  // namespace

Submitter::Submitter(Engine& engine, Calls& calls, Links& links, RayletLink& raylet)
    : engine_(engine), calls_(calls), links_(links), raylet_(raylet), machine_(limits()) {
  TaskSpecOptions standard;
  standard.resources.set("cpus", base::Amount::of(1));
  options_.push_back(std::move(standard));
}

OptionsHandle Submitter::intern(const TaskSpecOptions& options) {
  for (std::size_t i = 0; i < options_.size(); ++i) {
    if (options_[i] == options) return static_cast<OptionsHandle>(i);
  }
  options_.push_back(options);
  return static_cast<OptionsHandle>(options_.size() - 1);
}

void Submitter::submit(const FunctionEntry& function, OptionsHandle options, const base::TaskId& id,
                       Arguments&& arguments, std::span<ObjectRef> out) {
  Task& task = calls_.make(function, id, std::move(arguments), out);
  task.options = options;
  remember_function(options, function);
  task.retries = max_retries(task);
  start(task);
}

void Submitter::submit_again(Task& task) { start(task); }

void Submitter::start(Task& task) {
  engine_.work_began();
  if (down_) return argument_failed(task, *down_);
  if (task.arguments.failure_ != nullptr) {
    argument_failed(task, ErrorInfo(*task.arguments.failure_));
    return;
  }
  if (await_arguments(task, *this)) arguments_ready(task);
}

void Submitter::arguments_ready(Task& task) {
  task.state = Task::State::kReady;
  const scheduler::Submit input{task.slot, task.options,
                                task.retries < 0 ? scheduler::kRetryForever : static_cast<std::uint32_t>(task.retries),
                                options_[task.options].estimate.value_or(base::Duration::zero())};
  if (carrying_out_) {
    later_.push_back(input);
    return;
  }
  if (down_) return;
  machine_.submit(os::now(), input, out_);
  carry_out();
}

void Submitter::argument_failed(Task& task, const ErrorInfo& error) {
  engine_.work_ended();
  calls_.fail(task, error);
}

void Submitter::cancel(Task& task, bool force, bool recursive) {
  task.cancelled = true;
  if (task.state == Task::State::kWaiting) {
    ErrorInfo error;
    error.kind = base::ErrorKind::kCancelled;
    error.what = "the task was cancelled before it began";
    argument_failed(task, error);
    return;
  }
  if (task.state == Task::State::kInFlight) calls_.send_cancel(task, force, recursive);
  run(scheduler::Cancel{task.slot});
}

void Submitter::run(SubmitInput input) {
  if (down_) return;
  if (carrying_out_) {
    later_.push_back(std::move(input));
    return;
  }
  machine_.step(os::now(), std::move(input), out_);
  carry_out();
}

void Submitter::carry_out() {
  if (out_.empty()) return arm_timer();  // A deadline may be all that the input has changed.
  carrying_out_ = true;
  for (;;) {
    for (std::size_t i = 0; i < out_.size(); ++i) do_output(scheduler::SubmitOutput(out_[i]));
    out_.clear();
    if (later_.empty()) break;
    const SubmitInput next = std::move(later_.front());
    later_.pop_front();
    machine_.step(os::now(), next, out_);
  }
  carrying_out_ = false;
  arm_timer();
}

void Submitter::do_output(const scheduler::SubmitOutput& output) {
  std::visit(Overloaded{
                 [this](const scheduler::Push& o) { push(o); },
                 [this](const scheduler::TakeBack& o) {
                   CancelHeader header;
                   if (Peer* peer = leases_[o.worker].peer) {
                     links_.send(*peer, Hot::kTakeBack, base::object_bytes(header), {});
                   }
                 },
                 [](const scheduler::CancelRunning&) {},  // cancel() has sent it, with the user's wishes.
                 [this](const scheduler::SetDemand& o) { set_demand(o); },
                 [](const scheduler::AckGrant&) {},  // The reply to GRANT says so.
                 [this](const scheduler::ReturnLease& o) { return_lease(o); },
                 [this](const scheduler::Retry& o) {
                   Task& task = calls_.tasks().at(o.task);
                   task.attempt = task.first_attempt + o.attempt;
                   if (current_cause_ && retried_++ == 0) first_retried_ = calls_.name_of(task);
                   task.state = Task::State::kReady;
                   task.worker = nullptr;
                 },
                 [this](const scheduler::Fail& o) { fail(o); },
             },
             output);
}

void Submitter::push(const scheduler::Push& push) {
  Task& task = calls_.tasks().at(push.task);
  task.attempt = task.first_attempt + push.attempt;
  Lease& lease = leases_[push.worker];
  if (lease.peer->lost) {
    task.state = Task::State::kInFlight;  // on_peer_lost() has told or tells the machine.
    task.worker = lease.peer;
    return;
  }
  calls_.send(task, *lease.peer, 0);
}

void Submitter::set_demand(const scheduler::SetDemand& demand) {
  const TaskSpecOptions& options = options_[demand.key];
  proto::Demand request;
  request.set_key(demand.key);
  request.set_sequence(demand.seq);
  request.set_want(demand.want);
  fill(*request.mutable_shape(), options.resources);
  fill(*request.mutable_strategy(), options.strategy, options.placement_group, options.bundle);
  request.set_function(what_runs(demand.key));
  request.set_retriable(options.max_retries != 0);
  raylet_.rpc().ask<proto::Empty>(proto::DEMAND, request, std::chrono::seconds(5),
                                  [this, demand](base::Result<proto::Empty> reply) {
                                    if (reply) run(scheduler::DemandAcked{demand.key, demand.seq});
                                  });
}

void Submitter::return_lease(const scheduler::ReturnLease& give_back) {
  proto::ReturnLease request;
  request.set_lease_id(give_back.lease.bytes());
  request.set_worker_usable(give_back.fate == scheduler::WorkerFate::kReusable);
  Lease& lease = leases_[give_back.worker];
  if (lease.live && lease.id == give_back.lease) {
    lease.live = false;
    if (lease.peer != nullptr && lease.peer->worker_handle == give_back.worker) lease.peer->worker_handle = ~0u;
    lease.peer = nullptr;
    lease_handles_.erase(lease.id);
    free_leases_.push_back(give_back.worker);
  }
  raylet_.rpc().ask<proto::Empty>(proto::RETURN_LEASE, request, std::chrono::seconds(5),
                                  [this, id = give_back.lease](base::Result<proto::Empty> reply) {
                                    if (reply) run(scheduler::ReturnAcked{id});
                                  });
}

// For people: the name that the options give, or the functions that were called with them.
std::string Submitter::what_runs(scheduler::KeyIndex key) const {
  if (!options_[key].name.empty()) return options_[key].name;
  const auto it = functions_.find(key);
  std::string out;
  if (it == functions_.end()) return out;
  for (const FunctionEntry* function : it->second) out += (out.empty() ? "" : ", ") + function_name(*function);
  return it->second.size() == kFunctionsNamed ? out + ", ..." : out;
}

// Few of them: a name in a report, not a census.
void Submitter::remember_function(OptionsHandle key, const FunctionEntry& function) {
  if (last_function_ == std::pair(key, &function)) return;
  last_function_ = {key, &function};
  auto& known = functions_[key];
  if (known.size() < kFunctionsNamed && std::find(known.begin(), known.end(), &function) == known.end()) {
    known.push_back(&function);
  }
}

ErrorInfo Submitter::no_time_error(const Task& task) const {
  const base::Duration estimate = options_[task.options].estimate.value_or(base::Duration::zero());
  const base::Duration left = std::max(ends_at_.value_or(os::now()) - os::now(), base::Duration::zero());
  ErrorInfo error;
  error.kind = base::ErrorKind::kUnschedulable;
  error.what = "the task was not started: it takes " + seconds(estimate) +
               " by its estimate, and the cluster ends in " + seconds(left);
  error.evidence.push_back("time left: " + seconds(left));
  error.evidence.push_back("estimate: " + seconds(estimate));
  error.remedy =
      "save what there is and run the rest in the next job, ask for more time (sbatch --time), or correct the estimate";
  return error;
}

void Submitter::cluster_ends(std::optional<base::Time> at) {
  ends_at_ = at;
  run(scheduler::ClusterEnds{at});
}

void Submitter::fail(const scheduler::Fail& fail) {
  Task& task = calls_.tasks().at(fail.task);
  ErrorInfo error;
  switch (fail.why) {
    case scheduler::Fail::Why::kWorkerDied:
      if (current_cause_) error = *current_cause_;
      error.kind = error.kind == base::ErrorKind::kNone ? base::ErrorKind::kWorkerDied : error.kind;
      if (task.attempt != 0)
        error.evidence.push_back("attempt " + std::to_string(task.attempt + 1) + ", no retries left");
      if (error.remedy.empty()) {
        error.remedy = "read the worker's log (mobula logs), or give the task more retries: .with({.max_retries = n})";
      }
      break;
    case scheduler::Fail::Why::kTaskError:
      if (task.last_error != nullptr) error = *task.last_error;
      break;
    case scheduler::Fail::Why::kCancelled:
      error.kind = base::ErrorKind::kCancelled;
      error.what = "the task was cancelled";
      break;
    case scheduler::Fail::Why::kUnschedulable: error = unschedulable_[task.options]; break;
    case scheduler::Fail::Why::kNoTime: error = no_time_error(task); break;
    case scheduler::Fail::Why::kQueueFull:
      error.kind = base::ErrorKind::kPendingCallsLimit;
      error.what = "too many tasks are waiting in this process";
      break;
  }
  engine_.work_ended();
  calls_.fail(task, std::move(error));
}

void Submitter::on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload) {
  const std::uint32_t worker = from.worker_handle;
  if (task.worker != &from) return;
  if (header.status == CallStatus::kReturned) {
    task.state = Task::State::kReady;
    task.worker = nullptr;
    run(scheduler::TaskReturned{worker, task.slot});
    return;
  }
  scheduler::TaskFinished finished{worker, task.slot, base::Duration(header.run_ns),
                                   scheduler::TaskFinished::Outcome::kDone};
  std::optional<ErrorInfo> error;
  if (header.status != CallStatus::kOk) {
    error = base::decode_error_info(payload);
    if (!error) error = ErrorInfo{.kind = base::ErrorKind::kTask, .what = "the worker's error cannot be read"};
    if (options_[task.options].retry_exceptions && error->kind == base::ErrorKind::kTask && !task.cancelled) {
      finished.outcome = scheduler::TaskFinished::Outcome::kAgain;
      task.last_error = std::make_unique<ErrorInfo>(std::move(*error));
      return run(finished);
    }
  }
  // The machine first: its worker gets the next task while we look at this result, and the slot is ours to
  // release only once the machine has let go of it.
  if (carrying_out_) {
    later_.push_back(finished);
  } else if (!down_) {
    machine_.finished(os::now(), finished, out_);
    carry_out();
  }
  engine_.work_ended();
  if (error) {
    calls_.fail(task, std::move(*error));
  } else {
    calls_.succeed(task, from, header, payload);
  }
}

void Submitter::on_grant(const proto::Grant& grant, rpc::Responder responder) {
  const auto id = base::LeaseId::from_string(grant.lease_id());
  const auto address = from_proto(grant.worker());
  if (!id || !address || grant.key() >= options_.size()) {
    responder.fail({base::Code::kInvalid, "a grant with a malformed lease, worker or key"});
    return;
  }
  std::uint32_t handle = 0;
  if (const auto known = lease_handles_.find(*id); known != lease_handles_.end()) {
    handle = known->second;
  } else {
    if (free_leases_.empty()) {
      free_leases_.push_back(static_cast<std::uint32_t>(leases_.size()));
      leases_.emplace_back();
    }
    handle = free_leases_.back();
    free_leases_.pop_back();
    Peer& peer = links_.peer(*address);
    leases_[handle] = {*id, &peer, grant.key(), true, std::nullopt};
    peer.worker_handle = handle;
    lease_handles_.emplace(*id, handle);
  }
  responder.reply(proto::Empty());
  run(scheduler::Granted{grant.key(), *id, handle, grant.sequence(), grant.floor()});
  if (leases_[handle].live && leases_[handle].peer->lost) lose_worker(handle);
}

void Submitter::on_recall(const std::string& lease) {
  const auto id = base::LeaseId::from_string(lease);
  if (!id) return;
  if (const auto it = lease_handles_.find(*id); it != lease_handles_.end()) run(scheduler::Recalled{it->second});
}

void Submitter::on_peer_lost(Peer& peer) {
  const std::uint32_t handle = peer.worker_handle;
  if (handle == ~0u || leases_[handle].peer != &peer) return;
  // The raylet reaps it and knows the signal or exit code: give it a moment to tell.
  const base::LeaseId id = leases_[handle].id;
  engine_.loop().after(kCauseGrace, [this, handle, id] {
    if (leases_[handle].live && leases_[handle].id == id) lose_worker(handle);
  });
}

void Submitter::on_worker_lost(const proto::WorkerLost& lost) {
  const auto id = base::LeaseId::from_string(lost.lease_id());
  if (!id) return;
  const auto it = lease_handles_.find(*id);
  if (it == lease_handles_.end()) {
    // Returned already; the raylet asks until it hears so.
    proto::ReturnLease request;
    request.set_lease_id(lost.lease_id());
    (void)raylet_.rpc().notify(proto::RETURN_LEASE, request);
    return;
  }
  const std::uint32_t handle = it->second;
  leases_[handle].cause = cause_of(lost.cause(), *leases_[handle].peer);
  if (!leases_[handle].peer->lost) links_.declare_lost(*leases_[handle].peer, {base::Code::kLost, lost.cause().text()});
  lose_worker(handle);
}

void Submitter::lose_worker(std::uint32_t handle) {
  Lease& lease = leases_[handle];
  if (carrying_out_) {
    engine_.loop().after(base::Duration::zero(), [this, handle, id = lease.id] {
      if (leases_[handle].live && leases_[handle].id == id) lose_worker(handle);
    });
    return;
  }
  if (lease.cause) {
    current_cause_ = lease.cause;
  } else {
    ErrorInfo error;
    error.kind = base::ErrorKind::kWorkerDied;
    error.what = "the worker that ran the task has died";
    if (lease.peer != nullptr) {
      error.pid = lease.peer->address.pid;
      error.node = lease.peer->address.host + " " + lease.peer->address.node.short_hex();
      error.evidence.push_back(lease.peer->why_lost.what);
    }
    current_cause_ = std::move(error);
  }
  retried_ = 0;
  run(scheduler::WorkerLost{handle});
  if (retried_ != 0) {
    os::log(os::LogLevel::kWarn, "{}{} will run again: {}", first_retried_,
            retried_ == 1 ? "" : " and " + std::to_string(retried_ - 1) + " more that it held", current_cause_->what);
  }
  current_cause_.reset();
}

void Submitter::on_unschedulable(const proto::Unschedulable& message) {
  if (message.key() >= options_.size()) return;
  ErrorInfo error;
  error.kind = base::ErrorKind::kUnschedulable;
  error.what = message.what();
  for (const std::string& line : message.evidence()) error.evidence.push_back(line);
  if (!message.nearest_node().empty()) error.evidence.push_back("nearest node: " + message.nearest_node());
  error.remedy = message.remedy();
  if (error.remedy.empty())
    error.remedy = "ask for less, or start a node that has it; `mobula list nodes` shows what there is";
  unschedulable_[message.key()] = std::move(error);
  run(scheduler::KeyUnschedulable{message.key(), message.sequence()});
}

void Submitter::fail_all(const ErrorInfo& error) {
  down_ = error;
  std::vector<Task*> open;
  calls_.tasks().each_live([&](Task& task) {
    if (task.target == Target::kTask && task.actor == nullptr) open.push_back(&task);
  });
  for (Task* task : open) {
    engine_.work_ended();
    calls_.fail(*task, error);
  }
}

void Submitter::tick() {
  if (carrying_out_ || down_) return;
  machine_.tick(os::now(), out_);
  carry_out();
  arm_timer();
}

void Submitter::arm_timer() {
  const auto next = machine_.next_deadline();
  if (!next || (armed_ && *armed_ <= *next)) return;
  if (armed_) engine_.loop().cancel(timer_);
  armed_ = next;
  timer_ = engine_.loop().at(*next, [this] {
    armed_.reset();
    tick();
  });
  engine_.notify();  // A thread that sleeps knows only the deadlines from before.
}

}  // namespace mobula::runtime
