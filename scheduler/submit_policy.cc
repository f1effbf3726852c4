// How SubmitMachine spreads tasks over workers and how it asks for leases.

#include <algorithm>
#include <bit>
#include <utility>

#include "scheduler/planted.h"
#include "scheduler/submit.h"

namespace mobula::scheduler {

void SubmitMachine::link_front(List& list, std::uint32_t id) {
  tasks_[id].previous = kNone;
  tasks_[id].next = list.first;
  (list.first == kNone ? list.last : tasks_[list.first].previous) = id;
  list.first = id;
  ++list.size;
}

void SubmitMachine::link_back(List& list, std::uint32_t id) {
  tasks_[id].next = kNone;
  tasks_[id].previous = list.last;
  (list.last == kNone ? list.first : tasks_[list.last].next) = id;
  list.last = id;
  ++list.size;
}

void SubmitMachine::unlink(List& list, std::uint32_t id) {
  const Task& task = tasks_[id];
  (task.previous == kNone ? list.first : tasks_[task.previous].next) = task.next;
  (task.next == kNone ? list.last : tasks_[task.next].previous) = task.previous;
  --list.size;
}

void SubmitMachine::bucket_in(Key& key, std::uint32_t id) {
  Worker& worker = workers_[id];
  std::uint32_t& first = key.buckets[worker.tasks.size];
  worker.previous = kNone;
  worker.next = first;
  if (first != kNone) workers_[first].previous = id;
  first = id;
  key.filled |= std::uint64_t{1} << worker.tasks.size;
}

void SubmitMachine::bucket_out(Key& key, std::uint32_t id) {
  const Worker& worker = workers_[id];
  std::uint32_t& first = key.buckets[worker.tasks.size];
  (worker.previous == kNone ? first : workers_[worker.previous].next) = worker.next;
  if (worker.next != kNone) workers_[worker.next].previous = worker.previous;
  if (first == kNone) key.filled &= ~(std::uint64_t{1} << worker.tasks.size);
}

void SubmitMachine::pump(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  Key& key = keys_[id];
  const bool timed = key.estimate != base::Duration::zero();
  if (timed) fail_late(now, key, out);
  const std::uint32_t depth = timed ? 1 : key.depth;
  while (key.waiting.size != 0 && key.filled != 0 && !draining_) {
    const auto fewest = static_cast<std::uint32_t>(std::countr_zero(key.filled));
    if (fewest >= depth) break;
    push(now, key.buckets[fewest], out);
  }
  note_starving(now, key);
}

void SubmitMachine::fail_waiting(Key& key, Fail::Why why, base::Outbox<SubmitOutput>& out) {
  while (key.waiting.size != 0) {
    const std::uint32_t task = key.waiting.first;
    unlink(key.waiting, task);
    end(task);
    out.emplace_back(Fail{task, why});
  }
}

// Tasks of a key are equally long, so all that wait are late at once.
void SubmitMachine::fail_late(base::Time now, Key& key, base::Outbox<SubmitOutput>& out) {
  if (!ends_at_ || key.waiting.size == 0) return;
  if (*ends_at_ - now < key.estimate) {
    fail_waiting(key, Fail::Why::kNoTime, out);
  } else {
    sweep_by(*ends_at_ - key.estimate + base::Duration(1));
  }
}

void SubmitMachine::push(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  Worker& worker = workers_[id];
  Key& key = keys_[worker.key];
  const std::uint32_t task = key.waiting.first;
  unlink(key.waiting, task);
  bucket_out(key, id);
  link_back(worker.tasks, task);
  bucket_in(key, id);
  ++key.in_flight;
  tasks_[task].state = TaskState::kInFlight;
  tasks_[task].worker = id;
  if (worker.tasks.size == 1) {
    worker.moved_at = now;
  } else {
    sweep_by(worker.moved_at + limits_.stall_after);
  }
  out.emplace_back(Push{task, id, tasks_[task].attempt});
}

void SubmitMachine::leave_worker(std::uint32_t task) {
  const std::uint32_t id = tasks_[task].worker;
  Worker& worker = workers_[id];
  Key& key = keys_[worker.key];
  if (is_open(worker)) bucket_out(key, id);
  unlink(worker.tasks, task);
  if (is_open(worker)) bucket_in(key, id);
  --key.in_flight;
}

void SubmitMachine::requeue(std::uint32_t task) {
  tasks_[task].state = TaskState::kWaiting;
  link_front(keys_[tasks_[task].key].waiting, task);
}

void SubmitMachine::measure(Key& key, base::Duration run_time) {
  const std::int64_t ns = std::max<std::int64_t>(run_time.count(), 1);
  key.mean_ns = key.mean_ns < 0 ? ns : key.mean_ns + (ns - key.mean_ns) / 8;
  const std::int64_t pile = limits_.pile_target.count() / std::max<std::int64_t>(key.mean_ns, 1);
  key.depth = static_cast<std::uint32_t>(std::clamp<std::int64_t>(pile, 1, limits_.depth_max));
}

void SubmitMachine::again(base::Time now, std::uint32_t id, Fail::Why why, base::Outbox<SubmitOutput>& out) {
  Task& task = tasks_[id];
  if (task.cancelled || task.retries_left == 0) {
    end(id);
    out.emplace_back(Fail{id, task.cancelled ? Fail::Why::kCancelled : why});
    return;
  }
  if (task.retries_left != kRetryForever) --task.retries_left;
  ++task.attempt;
  const std::uint32_t doublings = std::min(task.attempt - 1, 20u);
  const base::Duration delay =
      std::min(limits_.retry_backoff * (std::int64_t{1} << doublings), limits_.retry_backoff_max);
  const base::Time at = why == Fail::Why::kWorkerDied ? now + delay : now;
  task.state = TaskState::kBackingOff;
  ++keys_[task.key].backing_off;
  backoffs_.push_back({at, backoff_order_++, id, task.tag});
  std::push_heap(backoffs_.begin(), backoffs_.end(),
                 [](const Backoff& a, const Backoff& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; });
  out.emplace_back(Retry{id, task.attempt, at});
}

// REQUIRES: no task is in flight there.
void SubmitMachine::forget_worker(std::uint32_t id, WorkerFate fate, base::Time now, base::Outbox<SubmitOutput>& out) {
  Worker& worker = workers_[id];
  Key& key = keys_[worker.key];
  if (is_open(worker)) bucket_out(key, id);
  if (worker.state == WorkerState::kServing) {
    --key.workers;
    if (worker.asked_back) --key.stalled;
  }
  worker.state = WorkerState::kUnknown;
  live_workers_.erase(std::find(live_workers_.begin(), live_workers_.end(), id));
  returning_[worker.lease] = {id, fate, now + limits_.resend_every};
  sweep_by(now + limits_.resend_every);
  // First the smaller demand, lest the raylet hands out again what comes back.
  const std::uint32_t want = wanted(key);
  if (want < key.want) tell_demand(now, worker.key, want, out);
  out.emplace_back(ReturnLease{worker.lease, id, fate});
}

std::uint32_t SubmitMachine::wanted(const Key& key) const {
  const std::uint64_t all = std::uint64_t{key.waiting.size} + key.in_flight;
  // What a stalled worker holds is its own affair: the others must empty the queue.
  const std::uint64_t tasks = all > key.stalled ? all - key.stalled : 0;
  std::uint64_t slots = tasks;
  if (key.mean_ns >= 0 && tasks > 1) {
    const auto drain = static_cast<std::uint64_t>(limits_.drain_target.count());
    const std::uint64_t mean = std::min(static_cast<std::uint64_t>(key.mean_ns), drain);
    slots = std::clamp<std::uint64_t>((tasks * mean + drain - 1) / drain, 1, tasks);
  }
  slots = std::max<std::uint64_t>(slots + key.stalled, key.workers);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(slots, limits_.want_max));
}

void SubmitMachine::update_demand(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  Key& key = keys_[id];
  const std::uint32_t want = wanted(key);
  if (key.waiting.size != 0) sweep_by(now + limits_.stall_after);  // Its workers may stall.
  if (want == key.want) return;
  const bool jump = want > key.want ? want >= 2 * key.want : want == 0;
  const bool shrinks_little = want < key.want && want > key.want / 2 && want > key.workers;
  if (shrinks_little) return;
  if (jump || now >= key.told_at + limits_.demand_every) {
    tell_demand(now, id, want, out);
  } else {
    sweep_by(key.told_at + limits_.demand_every);
  }
}

void SubmitMachine::tell_demand(base::Time now, std::uint32_t id, std::uint32_t want, base::Outbox<SubmitOutput>& out) {
  Key& key = keys_[id];
  key.want = want;
  key.told_at = now;
  ++key.seq;
  make_live(id);
  sweep_by(now + limits_.resend_every);
  out.emplace_back(SetDemand{id, want, key.seq});
}

void SubmitMachine::make_live(std::uint32_t id) {
  if (std::exchange(keys_[id].live, true)) return;
  live_keys_.push_back(id);
}

void SubmitMachine::note_starving(base::Time now, Key& key) {
  const bool starving = key.waiting.size != 0 && key.workers == 0;
  if (starving == key.starving_since.has_value()) return;
  if (starving) {
    key.starving_since = now;
    ++starving_keys_;
    sweep_by(now + limits_.stall_after);
  } else {
    key.starving_since.reset();
    if (--starving_keys_ == 0) hungry_ = false;
  }
}

void SubmitMachine::sweep(base::Time now, base::Outbox<SubmitOutput>& out) {
  sweep_at_ = base::Time::max();
  hungry_ = false;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < live_keys_.size(); ++i) {
    const std::uint32_t id = live_keys_[i];
    sweep_key(now, id, out);
    Key& key = keys_[id];
    key.live = key.waiting.size + key.in_flight + key.backing_off + key.workers + key.want != 0 || key.acked != key.seq;
    if (key.live) live_keys_[kept++] = id;
  }
  live_keys_.resize(kept);
  for (std::size_t i = live_workers_.size(); i-- > 0;) sweep_worker(now, live_workers_[i], out);
  for (auto& [lease, returning] : returning_) {
    if (planted(Mistake::kReturnSentOnce)) break;
    if (returning.resend_at <= now) {
      returning.resend_at = now + limits_.resend_every;
      out.emplace_back(ReturnLease{lease, returning.worker, returning.fate});
    }
    sweep_by(returning.resend_at);
  }
}

void SubmitMachine::sweep_key(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  Key& key = keys_[id];
  if (key.starving_since) {
    if (*key.starving_since + limits_.stall_after <= now) {
      hungry_ = true;
    } else {
      sweep_by(*key.starving_since + limits_.stall_after);
    }
  }
  if (key.estimate != base::Duration::zero()) {
    fail_late(now, key, out);
    note_starving(now, key);
  }
  update_demand(now, id, out);
  if (key.acked == key.seq || planted(Mistake::kDemandSentOnce)) return;
  if (key.told_at + limits_.resend_every <= now) {
    key.told_at = now;
    out.emplace_back(SetDemand{id, key.want, key.seq});
  }
  sweep_by(key.told_at + limits_.resend_every);
}

void SubmitMachine::sweep_worker(base::Time now, std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  Worker& worker = workers_[id];
  if (worker.state != WorkerState::kServing) return;
  if (worker.tasks.size == 0) {
    if (hungry_ || worker.moved_at + limits_.keep_idle <= now) {
      forget_worker(id, WorkerFate::kReusable, now, out);
    } else {
      sweep_by(worker.moved_at + limits_.keep_idle);
    }
  } else if (!worker.asked_back && (worker.tasks.size > 1 || keys_[worker.key].waiting.size != 0)) {
    if (worker.moved_at + limits_.stall_after <= now) {
      take_back(id, out);
      measure(keys_[worker.key], now - worker.moved_at);
      update_demand(now, worker.key, out);
    } else {
      sweep_by(worker.moved_at + limits_.stall_after);
    }
  }
}

// What waits there behind a long task; nothing more goes there before a result comes.
void SubmitMachine::take_back(std::uint32_t id, base::Outbox<SubmitOutput>& out) {
  bucket_out(keys_[workers_[id].key], id);
  workers_[id].asked_back = true;
  ++keys_[workers_[id].key].stalled;
  if (workers_[id].tasks.size > 1) out.emplace_back(TakeBack{id});
}

}  // namespace mobula::scheduler
