#include "tests/sim/lineage_world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace mobula::sim {

using namespace objstore;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

bool is_put(const base::ObjectId& id) { return id.index() >= base::kPutIndex; }

LineageLimits limits_of(Rng& rng) {
  return {.bytes_max = rng.chance(0.3) ? rng.between(500, 5'000) : std::uint64_t{1} << 30};
}

}  // namespace

LineageWorld::LineageWorld(Options options)
    : options_(options), rng_(options.seed), limits_(limits_of(rng_)), machine_(limits_) {
  think_us_max_ = rng_.between(500, 20'000);
  run_us_max_ = rng_.between(500, 50'000);
  delay_us_max_ = rng_.between(50, 5'000);
  death_ = rng_.chance(0.2) ? 0 : 0.002 * static_cast<double>(rng_.between(1, 20));
  vanish_ = rng_.chance(0.5) ? 0 : 0.01 * static_cast<double>(rng_.between(1, 5));
  chain_ = rng_.between(0, 3);
  const std::uint64_t nodes = rng_.between(1, 5);
  for (std::uint64_t i = 0; i < nodes; ++i) nodes_.insert(next_node_++);
}

// ---- the course of a run ----------------------------------------------------------------------------

void LineageWorld::run() {
  act();
  queue_.run_until(queue_.now() + milliseconds(rng_.between(200, 2'000)));
  active_ = false;
  queue_.run_until(queue_.now() + seconds(30));
  check_quiet("after healing");
  // One who reads everything once more: what has been lost meanwhile is still found.
  for (const Node node : std::set(nodes_)) {
    if (rng_.chance(0.5)) erase_node(node);
  }
  for (const ObjectId& id : variables_) read(id);
  queue_.run_until(queue_.now() + seconds(30));
  check_quiet("after all was read");
  for (const ObjectId& id : std::exchange(variables_, {})) release(id);
  queue_.run_until(queue_.now() + seconds(1));
  if (!objects_.empty()) violation(std::to_string(objects_.size()) + " objects are held in the end");
  if (!kept_.empty()) violation("what " + std::to_string(kept_.size()) + " tasks need is kept in the end");
}

void LineageWorld::act() {
  queue_.after(microseconds(rng_.between(1, think_us_max_)), [this] {
    if (!active_) return;
    const std::uint64_t kind = rng_.below(100);
    if (rng_.chance(death_)) kill_one();
    if (rng_.chance(vanish_)) lose_copy();
    if (variables_.empty() || kind < 8) {
      put();
    } else if (kind < 50) {
      submit();
    } else if (kind < 75) {
      read(variables_[rng_.below(variables_.size())]);
    } else {
      drop_one();
    }
    act();
  });
}

void LineageWorld::put() {
  const auto id = base::object_of(TaskId::from_words(next_task_++, 1, 1, 0), base::kPutIndex + 1);
  hold(id);
  objects_[id].status = Status::kSomewhere;
  objects_[id].copies.insert(*nodes_.begin());
  variables_.push_back(id);
}

void LineageWorld::submit() {
  const auto task = TaskId::from_words(next_task_++, 2, 2, 0);
  Truth& truth = truths_[task];
  // Of what is held; a chain rather takes the newest.
  for (std::uint64_t n = rng_.below(3); n != 0 && !variables_.empty(); --n) {
    const bool newest = chain_ != 0 && rng_.chance(0.8);
    truth.arguments.push_back(newest ? variables_.back() : variables_[rng_.below(variables_.size())]);
  }
  truth.returns = static_cast<std::uint32_t>(rng_.chance(0.2) ? rng_.between(2, 3) : 1);
  truth.retries_max = rng_.chance(0.1) ? 0 : static_cast<std::uint32_t>(rng_.between(1, 4));
  truth.bytes = rng_.between(10, 500);
  for (std::uint32_t i = 1; i <= truth.returns; ++i) {
    hold(base::object_of(task, i));
    variables_.push_back(base::object_of(task, i));
  }
  start(task, false, truth.retries_max);
}

void LineageWorld::drop_one() {
  const std::size_t at = rng_.below(variables_.size());
  const ObjectId id = variables_[at];
  variables_.erase(variables_.begin() + static_cast<std::ptrdiff_t>(at));
  release(id);
}

void LineageWorld::read(const ObjectId& id) {
  hold(id);
  ++objects_.at(id).reads;
  if (objects_.at(id).status == Status::kSomewhere && objects_.at(id).copies.empty()) return lost(id);
  changed(id);
}

void LineageWorld::kill_one() {
  if (nodes_.empty()) return;
  auto at = nodes_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(rng_.below(nodes_.size())));
  erase_node(*at);
}

void LineageWorld::lose_copy() {
  std::vector<Object*> some;
  for (auto& [id, object] : objects_) {
    if (!object.copies.empty()) some.push_back(&object);
  }
  if (some.empty()) return;
  auto& copies = some[rng_.below(some.size())]->copies;
  copies.erase(copies.begin());
}

void LineageWorld::erase_node(Node node) {
  ++deaths_;
  nodes_.erase(node);
  nodes_.insert(next_node_++);
  trace("node " + std::to_string(node) + " dies");
  std::vector<ObjectId> gone;
  for (auto& [id, object] : objects_) {
    if (object.copies.erase(node) != 0 && object.copies.empty() && is_wanted(id)) gone.push_back(id);
  }
  for (const ObjectId& id : gone) {
    if (objects_.contains(id)) lost(id);
  }
  for (const auto& [number, call] : calls_) {
    if (call.node != node) continue;
    queue_.after(microseconds(rng_.between(1, delay_us_max_)), [this, n = number, node] {
      const auto at = calls_.find(n);
      if (at != calls_.end() && at->second.node == node) lose_call(n);
    });
  }
}

// ---- references -------------------------------------------------------------------------------------

void LineageWorld::release(const ObjectId& id) {
  if (--objects_.at(id).references != 0) return;
  dropped_.push_back(id);
  if (!dropping_) flush_drops();
}

void LineageWorld::flush_drops() {
  dropping_ = true;
  while (!dropped_.empty()) {
    const ObjectId id = dropped_.back();
    dropped_.pop_back();
    const auto at = objects_.find(id);
    if (at == objects_.end() || at->second.references != 0) continue;
    objects_.erase(at);
    step(Dropped{id});
  }
  dropping_ = false;
}

// ---- calls ------------------------------------------------------------------------------------------

void LineageWorld::start(const TaskId& task, bool again, std::uint32_t retries) {
  const std::uint64_t number = next_call_++;
  const Truth& truth = truths_.at(task);
  for (std::uint32_t i = 1; i <= truth.returns; ++i) hold(base::object_of(task, i));
  if (is_under_way(task)) violation("a task runs twice at a time");
  calls_[number] = {task, again, retries};
  // A re-run's arguments must be there: held by somebody, or about to be made.
  for (const ObjectId& argument : truth.arguments) {
    if (!objects_.contains(argument)) {
      for (const ObjectId& held : truth.arguments) {
        if (held == argument) break;
        release(held);
      }
      calls_.at(number).node = ~Node{0};  // Holds none.
      return fail_call(number);
    }
    hold(argument);
  }
  queue_.after(microseconds(1), [this, number] { look_at(number); });
}

// Sends it once all its arguments have a value.
void LineageWorld::look_at(std::uint64_t number) {
  const auto at = calls_.find(number);
  if (at == calls_.end() || at->second.node != 0) return;
  for (const ObjectId& argument : truths_.at(at->second.task).arguments) {
    const Object& object = objects_.at(argument);
    if (object.status == Status::kError) return fail_call(number);
    if (object.status == Status::kPending) return;
    if (!object.copies.empty()) continue;
    const TaskId maker = base::task_of(argument);
    if (!is_put(argument) && is_under_way(maker)) return;
    return lost(argument);  // changed() looks again.
  }
  send(number);
}

void LineageWorld::send(std::uint64_t number) {
  Call& call = calls_.at(number);
  Truth& truth = truths_.at(call.task);
  auto node = nodes_.begin();
  std::advance(node, static_cast<std::ptrdiff_t>(rng_.below(nodes_.size())));
  call.node = *node;
  if (++truth.sent > 1 + truth.retries_max) violation("a task is run more often than it may");
  queue_.after(microseconds(rng_.between(1, delay_us_max_)), [this, number, n = *node] { begin(number, n); });
}

// On the node: the arguments are read, which may find that they are gone; then it runs.
void LineageWorld::begin(std::uint64_t number, Node node) {
  const auto at = calls_.find(number);
  if (at == calls_.end() || at->second.node != node || !nodes_.contains(node)) return;
  for (const ObjectId& argument : truths_.at(at->second.task).arguments) {
    const Object& object = objects_.at(argument);
    if (object.status == Status::kError) return fail_call(number);
    if (!object.copies.empty()) continue;
    if (is_put(argument) || !is_under_way(base::task_of(argument))) lost(argument);
    queue_.after(milliseconds(2), [this, number, node] { begin(number, node); });
    return;
  }
  queue_.after(microseconds(rng_.between(1, run_us_max_)), [this, number, node] {
    if (!nodes_.contains(node)) return;
    // The reply may arrive although the node has died since.
    queue_.after(microseconds(rng_.between(1, delay_us_max_)), [this, number, node] { reply(number, node); });
  });
}

void LineageWorld::reply(std::uint64_t number, Node node) {
  const auto at = calls_.find(number);
  if (at == calls_.end() || at->second.node != node) return;
  const Call call = at->second;
  const Truth& truth = truths_.at(call.task);
  calls_.erase(at);
  if (call.again) {
    step(Ended{call.task, call.retries});
  } else {
    Keep keep{.task = call.task, .results = {}, .needs = {}, .bytes = truth.bytes, .retries = call.retries};
    for (std::uint32_t i = 1; i <= truth.returns; ++i) keep.results.push_back(base::object_of(call.task, i));
    for (const ObjectId& argument : truth.arguments) {
      if (!is_put(argument)) keep.needs.push_back(argument);
    }
    kept_[call.task] = truth.bytes;
    step(std::move(keep));
  }
  for (std::uint32_t i = 1; i <= truth.returns; ++i) {
    const ObjectId id = base::object_of(call.task, i);
    Object& object = objects_.at(id);
    if (object.status == Status::kError) continue;
    object.status = Status::kSomewhere;
    if (nodes_.contains(node)) object.copies.insert(node);
    if (object.copies.empty() && is_wanted(id)) {
      lost(id);
    } else {
      changed(id);
    }
  }
  for (const ObjectId& argument : truth.arguments) release(argument);
  for (std::uint32_t i = 1; i <= truth.returns; ++i) release(base::object_of(call.task, i));
}

void LineageWorld::lose_call(std::uint64_t number) {
  Call& call = calls_.at(number);
  if (call.retries == 0) return fail_call(number);
  --call.retries;
  call.node = 0;
  look_at(number);
}

void LineageWorld::fail_call(std::uint64_t number) {
  const Call call = calls_.at(number);
  const Truth& truth = truths_.at(call.task);
  const bool holds_none = call.node == ~Node{0};
  calls_.erase(number);
  // Not sent: it has not cost one.
  if (call.again) step(Ended{call.task, call.node == 0 || holds_none ? call.retries + 1 : call.retries});
  for (std::uint32_t i = 1; i <= truth.returns; ++i) {
    const ObjectId id = base::object_of(call.task, i);
    Object& object = objects_.at(id);
    if (object.status == Status::kPending || object.copies.empty()) fail(id);
  }
  if (!holds_none) {
    for (const ObjectId& argument : truth.arguments) release(argument);
  }
  for (std::uint32_t i = 1; i <= truth.returns; ++i) release(base::object_of(call.task, i));
}

// ---- objects ----------------------------------------------------------------------------------------

void LineageWorld::lost(const ObjectId& id) {
  trace("lost: " + id.short_hex() + "/" + std::to_string(id.index()));
  step(Lost{id});
}

void LineageWorld::fail(const ObjectId& id) {
  Object& object = objects_.at(id);
  if (object.status == Status::kError) return;
  std::set<TaskId> asked;
  if (can_be_made(id, asked)) violation("an object is given up that could be made: " + id.short_hex());
  ++errors_;
  object.status = Status::kError;
  changed(id);
}

void LineageWorld::changed(const ObjectId& id) {
  Object& object = objects_.at(id);
  const bool there = object.status == Status::kError || !object.copies.empty();
  if (!there) return;
  std::vector<std::uint64_t> waiting;
  for (const auto& [number, call] : calls_) {
    if (call.node == 0 && std::ranges::count(truths_.at(call.task).arguments, id) != 0) waiting.push_back(number);
  }
  for (const std::uint64_t number : waiting) {
    queue_.after(microseconds(1), [this, number] { look_at(number); });
  }
  for (int n = std::exchange(object.reads, 0); n != 0; --n) release(id);
}

void LineageWorld::step(LineageInput input) {
  base::Outbox<LineageOutput> out;
  note(input.index());
  machine_.step(queue_.now(), std::move(input), out);
  if (options_.ask_machines && !machine_.is_valid()) violation("the machine is not valid");
  for (const LineageOutput& output : out) carry_out(output);
  std::uint64_t bytes = 0;
  for (const auto& [task, n] : kept_) bytes += n;
  if (bytes > limits_.bytes_max) violation("more is kept than allowed");
}

void LineageWorld::carry_out(const LineageOutput& output) {
  if (const auto* rerun = std::get_if<Rerun>(&output)) {
    note(rerun->task.word(0));
    ++reruns_;
    trace("run again: " + rerun->task.short_hex());
    start(rerun->task, true, rerun->retries);
  } else if (const auto* hopeless = std::get_if<Hopeless>(&output)) {
    note(hopeless->object.word(0) + 1);
    if (objects_.contains(hopeless->object)) fail(hopeless->object);
  } else {
    const auto& go = std::get<LetLineageGo>(output);
    note(go.task.word(0) + 2);
    std::uint64_t bytes = 0;
    for (const auto& [task, n] : kept_) bytes += n;
    if (go.why == LetLineageGo::Why::kNoRoom) {
      if (bytes <= limits_.bytes_max) violation("let go of for room that there was");
      truths_.at(go.task).roomless = true;
    }
    kept_.erase(go.task);
  }
}

// ---- the oracle -------------------------------------------------------------------------------------

bool LineageWorld::is_under_way(const TaskId& task) const {
  return std::ranges::any_of(calls_, [&](const auto& c) { return c.second.task == task; });
}

bool LineageWorld::is_wanted(const ObjectId& id) const {
  const auto at = objects_.find(id);
  if (at != objects_.end() && at->second.reads != 0) return true;
  return std::ranges::any_of(calls_, [&](const auto& c) {
    return c.second.node == 0 && std::ranges::count(truths_.at(c.second.task).arguments, id) != 0;
  });
}

bool LineageWorld::can_be_made(const ObjectId& id, std::set<TaskId>& asked) const {
  const auto at = objects_.find(id);
  if (at != objects_.end() && at->second.status == Status::kError) return false;
  if (at != objects_.end() && !at->second.copies.empty()) return true;
  if (is_put(id)) return false;
  const TaskId task = base::task_of(id);
  if (!asked.insert(task).second) return true;
  const Truth& truth = truths_.at(task);
  if (is_under_way(task)) return true;
  if (truth.roomless || truth.sent > truth.retries_max) return false;
  return std::ranges::all_of(truth.arguments, [&](const ObjectId& a) { return can_be_made(a, asked); });
}

void LineageWorld::check_quiet(const char* when) {
  for (const auto& [id, object] : objects_) {
    if (object.reads != 0) violation(std::string("a read waits without end, ") + when);
  }
  if (!calls_.empty()) violation(std::to_string(calls_.size()) + " calls wait without end, " + when);
}

void LineageWorld::violation(const std::string& what) {
  trace("VIOLATION: " + what);
  if (violations_.size() < kViolationsMax) violations_.push_back(what);
}

void LineageWorld::trace(const std::string& text) const {
  if (!options_.trace) return;
  const double ms = std::chrono::duration<double, std::milli>(queue_.now().time_since_epoch()).count();
  std::printf("%10.3f ms  %s\n", ms, text.c_str());
}

}  // namespace mobula::sim
