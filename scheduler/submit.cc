#include "scheduler/submit.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace mobula::scheduler {

SubmitMachine::SubmitMachine(SubmitLimits limits) : limits_(limits), grants_(limits.grant_window) {
  assert(limits.depth_max >= 1 && limits.depth_max <= kDepthMax);
  assert(limits.tasks_max > 0 && limits.keys_max > 0 && limits.want_max > 0);
}

void SubmitMachine::step(base::Time now, SubmitInput input, base::Outbox<SubmitOutput>& out) {
  std::visit([&](const auto& event) { on(now, event, out); }, input);
}

void SubmitMachine::tick(base::Time now, base::Outbox<SubmitOutput>& out) {
  const auto later = [](const Backoff& a, const Backoff& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; };
  while (!backoffs_.empty() && backoffs_.front().at <= now) {
    std::pop_heap(backoffs_.begin(), backoffs_.end(), later);
    const Backoff due = backoffs_.back();
    backoffs_.pop_back();
    Task& task = tasks_[due.task];
    if (task.tag != due.tag || task.state != TaskState::kBackingOff) continue;
    Key& key = keys_[task.key];
    --key.backing_off;
    task.state = TaskState::kWaiting;
    link_back(key.waiting, due.task);
    pump(now, task.key, out);
    update_demand(now, task.key, out);
  }
  if (now >= sweep_at_) sweep(now, out);
}

std::optional<base::Time> SubmitMachine::next_deadline() const {
  base::Time at = sweep_at_;
  if (!backoffs_.empty()) at = std::min(at, backoffs_.front().at);
  return at == base::Time::max() ? std::nullopt : std::optional(at);
}

void SubmitMachine::submit(base::Time now, const Submit& e, base::Outbox<SubmitOutput>& out) {
  if (e.task >= limits_.tasks_max || e.key >= limits_.keys_max) {
    out.emplace_back(Fail{e.task, Fail::Why::kQueueFull});
    return;
  }
  if (e.task >= tasks_.size()) tasks_.resize(std::max<std::size_t>(e.task + std::size_t{1}, tasks_.size() * 2));
  if (e.key >= keys_.size()) {
    const std::size_t before = keys_.size();
    keys_.resize(e.key + std::size_t{1});
    for (std::size_t i = before; i < keys_.size(); ++i) keys_[i].buckets.fill(kNone);
  }
  Task& task = tasks_[e.task];
  assert(task.state == TaskState::kUnknown);
  task.key = e.key;
  task.attempt = 0;
  task.retries_left = e.retries;
  ++task.tag;
  task.state = TaskState::kWaiting;
  task.cancelled = false;
  make_live(e.key);
  keys_[e.key].estimate = e.estimate;
  link_back(keys_[e.key].waiting, e.task);
  pump(now, e.key, out);
  update_demand(now, e.key, out);
}

void SubmitMachine::finished(base::Time now, const TaskFinished& e, base::Outbox<SubmitOutput>& out) {
  if (!in_flight_on(e.task, e.worker)) return;
  Worker& worker = workers_[e.worker];
  Key& key = keys_[worker.key];
  leave_worker(e.task);
  if (worker.asked_back) {
    worker.asked_back = false;
    if (is_open(worker)) {
      --key.stalled;
      bucket_in(key, e.worker);
    }
  }
  worker.moved_at = now;
  measure(key, e.run_time);
  if (e.outcome == TaskFinished::Outcome::kAgain) {
    again(now, e.task, Fail::Why::kTaskError, out);
  } else {
    end(e.task);
  }
  after_leaving(now, e.worker, out);
}

void SubmitMachine::on(base::Time now, const TaskReturned& e, base::Outbox<SubmitOutput>& out) {
  if (!in_flight_on(e.task, e.worker)) return;
  Worker& worker = workers_[e.worker];
  leave_worker(e.task);
  // It sits behind a task that is long or blocked: nothing more goes there before a result comes.
  if (is_open(worker) && worker.tasks.size != 0) {
    bucket_out(keys_[worker.key], e.worker);
    worker.asked_back = true;
    ++keys_[worker.key].stalled;
  }
  if (tasks_[e.task].cancelled) {
    end(e.task);
    out.emplace_back(Fail{e.task, Fail::Why::kCancelled});
  } else {
    requeue(e.task);
  }
  after_leaving(now, e.worker, out);
}

// A worker has one task less: it takes more, is given back, or idles.
void SubmitMachine::after_leaving(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  const std::uint32_t key = workers_[id].key;
  if (workers_[id].state == WorkerState::kDraining) {
    if (workers_[id].tasks.size == 0) forget_worker(id, WorkerFate::kReusable, now, out);
    pump(now, key, out);
  } else {
    pump(now, key, out);
    if (workers_[id].tasks.size == 0) {
      if (hungry_) {
        forget_worker(id, WorkerFate::kReusable, now, out);
      } else {
        sweep_by(now + limits_.keep_idle);
      }
    }
  }
  update_demand(now, key, out);
}

void SubmitMachine::on(base::Time now, const Cancel& e, base::Outbox<SubmitOutput>& out) {
  if (e.task >= tasks_.size()) return;
  Task& task = tasks_[e.task];
  if (task.state == TaskState::kUnknown) return;
  Key& key = keys_[task.key];
  if (task.state == TaskState::kInFlight) {
    if (!std::exchange(task.cancelled, true)) out.emplace_back(CancelRunning{e.task, task.worker});
    return;
  }
  if (task.state == TaskState::kWaiting) unlink(key.waiting, e.task);
  if (task.state == TaskState::kBackingOff) --key.backing_off;
  end(e.task);
  out.emplace_back(Fail{e.task, Fail::Why::kCancelled});
  note_starving(now, key);
  update_demand(now, task.key, out);
}

void SubmitMachine::on(base::Time now, const Granted& e, base::Outbox<SubmitOutput>& out) {
  const auto fate = grants_.receive(e.seq, e.floor);
  if (fate == base::RequestReceiver::Fate::kBeyond) return;
  out.emplace_back(AckGrant{e.lease});
  if (fate != base::RequestReceiver::Fate::kNew || knows_worker(e.worker)) return;
  if (e.worker >= limits_.workers_max || e.key >= keys_.size()) {
    returning_[e.lease] = {e.worker, WorkerFate::kReusable, now + limits_.resend_every};
    sweep_by(now + limits_.resend_every);
    out.emplace_back(ReturnLease{e.lease, e.worker, WorkerFate::kReusable});
    return;
  }
  if (e.worker >= workers_.size()) workers_.resize(e.worker + std::size_t{1});
  Worker& worker = workers_[e.worker] = Worker{};
  worker.key = e.key;
  worker.state = WorkerState::kServing;
  worker.lease = e.lease;
  worker.moved_at = now;
  live_workers_.push_back(e.worker);
  make_live(e.key);
  Key& key = keys_[e.key];
  ++key.workers;
  bucket_in(key, e.worker);
  pump(now, e.key, out);
  if (workers_[e.worker].tasks.size == 0) sweep_by(now + limits_.keep_idle);
  update_demand(now, e.key, out);
}

void SubmitMachine::on(base::Time now, const WorkerLost& e, base::Outbox<SubmitOutput>& out) {
  if (!knows_worker(e.worker)) return;
  const std::uint32_t key = workers_[e.worker].key;
  while (workers_[e.worker].tasks.size != 0) {  // Newest first, so that what is put back in front keeps its order.
    const List& tasks = workers_[e.worker].tasks;
    const std::uint32_t task = tasks.last;
    const bool begun = tasks.size <= e.begun;
    leave_worker(task);
    if (begun || tasks_[task].cancelled) {
      again(now, task, Fail::Why::kWorkerDied, out);
    } else {
      requeue(task);
    }
  }
  forget_worker(e.worker, WorkerFate::kSpent, now, out);
  pump(now, key, out);
  update_demand(now, key, out);
}

void SubmitMachine::on(base::Time now, const Recalled& e, base::Outbox<SubmitOutput>& out) {
  if (!knows_worker(e.worker)) return;
  Worker& worker = workers_[e.worker];
  if (worker.state == WorkerState::kDraining) return;
  Key& key = keys_[worker.key];
  if (is_open(worker)) bucket_out(key, e.worker);
  if (worker.asked_back) --key.stalled;
  worker.state = WorkerState::kDraining;
  --key.workers;
  if (worker.tasks.size == 0) {
    forget_worker(e.worker, WorkerFate::kReusable, now, out);
  } else if (worker.tasks.size > 1 && !worker.asked_back) {
    worker.asked_back = true;
    out.emplace_back(TakeBack{e.worker});
  }
  note_starving(now, key);
  update_demand(now, worker.key, out);
}

void SubmitMachine::on(base::Time, const DemandAcked& e, base::Outbox<SubmitOutput>&) {
  if (e.key < keys_.size()) keys_[e.key].acked = std::max(keys_[e.key].acked, std::min(e.seq, keys_[e.key].seq));
}

void SubmitMachine::on(base::Time, const ReturnAcked& e, base::Outbox<SubmitOutput>&) { returning_.erase(e.lease); }

void SubmitMachine::on(base::Time now, const KeyUnschedulable& e, base::Outbox<SubmitOutput>& out) {
  if (e.key >= keys_.size() || keys_[e.key].seq != e.seq) return;  // A newer demand gets its own answer.
  Key& key = keys_[e.key];
  fail_waiting(key, Fail::Why::kUnschedulable, out);
  note_starving(now, key);
  tell_demand(now, e.key, wanted(key), out);  // A new word, so that the raylet knows that this one was heard.
}

void SubmitMachine::on(base::Time now, const ClusterEnds& e, base::Outbox<SubmitOutput>& out) {
  ends_at_ = e.at;
  for (std::uint32_t id = 0; id < keys_.size(); ++id) {
    if (keys_[id].estimate == base::Duration::zero() || keys_[id].waiting.size == 0) continue;
    pump(now, id, out);
    update_demand(now, id, out);
  }
}

void SubmitMachine::on(base::Time, const Drain&, base::Outbox<SubmitOutput>& out) {
  if (std::exchange(draining_, true)) return;
  // What waits on a worker behind another task has not begun either.
  for (const std::uint32_t id : live_workers_) {
    if (workers_[id].tasks.size > 1) out.emplace_back(TakeBack{id});
  }
}

bool SubmitMachine::knows_worker(WorkerHandle worker) const {
  return worker < workers_.size() && workers_[worker].state != WorkerState::kUnknown;
}

bool SubmitMachine::in_flight_on(TaskHandle task, WorkerHandle worker) const {
  return task < tasks_.size() && tasks_[task].state == TaskState::kInFlight && tasks_[task].worker == worker;
}

SubmitMachine::Counts SubmitMachine::counts() const {
  Counts c;
  for (const Key& key : keys_) {
    c.waiting += key.waiting.size;
    c.backing_off += key.backing_off;
    c.in_flight += key.in_flight;
  }
  c.leases = live_workers_.size();
  c.returning = returning_.size();
  return c;
}

bool SubmitMachine::is_valid() const {
  std::size_t waiting = 0, in_flight = 0, backing_off = 0;
  for (const Task& task : tasks_) {
    waiting += task.state == TaskState::kWaiting;
    in_flight += task.state == TaskState::kInFlight;
    backing_off += task.state == TaskState::kBackingOff;
  }
  std::size_t pushed = 0;
  for (const std::uint32_t id : live_workers_) {
    const Worker& worker = workers_[id];
    if (worker.state == WorkerState::kUnknown || worker.tasks.size > kDepthMax) return false;
    pushed += worker.tasks.size;
    std::uint32_t n = 0;
    for (std::uint32_t t = worker.tasks.first; t != kNone; t = tasks_[t].next, ++n) {
      if (tasks_[t].worker != id || tasks_[t].state != TaskState::kInFlight) return false;
    }
    if (n != worker.tasks.size) return false;
  }
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const Key& key = keys_[k];
    if (key.acked > key.seq || key.want > limits_.want_max) return false;
    std::uint32_t serving = 0;
    std::uint32_t stalled = 0;
    for (const std::uint32_t id : live_workers_) {
      if (workers_[id].key != k || workers_[id].state != WorkerState::kServing) continue;
      ++serving;
      stalled += workers_[id].asked_back;
    }
    if (serving != key.workers || stalled != key.stalled) return false;
    for (std::size_t b = 0; b <= kDepthMax; ++b) {
      if ((key.buckets[b] != kNone) != ((key.filled >> b & 1) != 0)) return false;
      for (std::uint32_t w = key.buckets[b]; w != kNone; w = workers_[w].next) {
        if (!is_open(workers_[w]) || workers_[w].tasks.size != b) return false;
      }
    }
  }
  const Counts c = counts();
  return c.waiting == waiting && c.in_flight == in_flight && c.backing_off == backing_off && pushed == in_flight &&
         grants_.remembered() <= limits_.grant_window;
}

}  // namespace mobula::scheduler
