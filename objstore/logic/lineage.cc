#include "objstore/logic/lineage.h"

#include <algorithm>
#include <set>
#include <utility>

#include "objstore/logic/planted.h"

namespace mobula::objstore {

using base::ObjectId;
using base::Outbox;
using base::TaskId;

void LineageMachine::step(base::Time, Input input, Outbox<Output>& out) {
  std::visit([&](auto&& in) { on(std::move(in), out); }, std::move(input));
}

// ---- what is kept -----------------------------------------------------------------------------------

void LineageMachine::on(Keep&& keep, Outbox<Output>& out) {
  const auto [at, is_new] = records_.try_emplace(keep.task);
  if (!is_new) return;
  Record& record = at->second;
  for (const ObjectId& object : keep.results) record.results.push_back({object});
  record.needs = std::move(keep.needs);
  std::ranges::sort(record.needs);
  record.needs.erase(std::unique(record.needs.begin(), record.needs.end()), record.needs.end());
  record.bytes = keep.bytes;
  record.retries = keep.retries;
  record.age = next_age_++;
  by_age_.emplace(record.age, keep.task);
  bytes_ += record.bytes;
  if (!planted(Mistake::kLineageDiesWithItsResults)) {
    for (const ObjectId& need : record.needs) {
      if (const auto maker = records_.find(base::task_of(need)); maker != records_.end()) ++maker->second.dependents;
    }
  }
  make_room(out);
}

void LineageMachine::make_room(Outbox<Output>& out) {
  if (planted(Mistake::kLineageWithoutBound)) return;
  while (bytes_ > limits_.bytes_max) {
    // One that runs again needs it no more: its call has it.
    const TaskId task = by_age_.begin()->second;
    by_age_.erase(by_age_.begin());
    Record& record = records_.at(task);
    bytes_ -= std::exchange(record.bytes, 0);
    record.kept = false;
    out.push_back(LetLineageGo{task, LetLineageGo::Why::kNoRoom});
    release_needs(record, out);
    forget_if_unneeded(task, out);
  }
}

// Nothing is needed for this record any more, and so perhaps not for those that it names.
void LineageMachine::release_needs(Record& record, Outbox<Output>& out) {
  for (const ObjectId& need : std::exchange(record.needs, {})) {
    const auto maker = records_.find(base::task_of(need));
    if (maker == records_.end()) continue;
    if (maker->second.dependents != 0) --maker->second.dependents;
    forget_if_unneeded(maker->first, out);
  }
}

void LineageMachine::forget_if_unneeded(const TaskId& first, Outbox<Output>& out) {
  if (planted(Mistake::kLineageNeverForgotten)) return;
  // A chain of a million tasks ends here without a call within a call.
  std::vector<TaskId> look{first};
  while (!look.empty()) {
    const auto at = records_.find(look.back());
    look.pop_back();
    if (at == records_.end()) continue;
    const Record& record = at->second;
    if (record.running || has_result_here(record) || (record.kept && record.dependents != 0)) continue;
    for (const ObjectId& need : record.needs) {
      const auto maker = records_.find(base::task_of(need));
      if (maker == records_.end()) continue;
      if (maker->second.dependents != 0) --maker->second.dependents;
      look.push_back(maker->first);
    }
    if (record.kept) by_age_.erase(record.age);
    bytes_ -= record.bytes;
    out.push_back(LetLineageGo{at->first, LetLineageGo::Why::kUnneeded});
    records_.erase(at);
  }
}

bool LineageMachine::is_here(const Record& record, const ObjectId& object) {
  return std::ranges::any_of(record.results, [&](const Result& r) { return r.object == object && r.here; });
}

bool LineageMachine::has_result_here(const Record& record) {
  return std::ranges::any_of(record.results, &Result::here);
}

void LineageMachine::on(Dropped&& dropped, Outbox<Output>& out) {
  const auto at = records_.find(base::task_of(dropped.object));
  if (at == records_.end()) return;
  for (Result& result : at->second.results) {
    if (result.object == dropped.object) result.here = false;
  }
  forget_if_unneeded(at->first, out);
}

// ---- what is lost -----------------------------------------------------------------------------------

std::optional<Hopeless::Why> LineageMachine::obstacle(const TaskId& task) const {
  const auto at = records_.find(task);
  if (at == records_.end() || !at->second.kept) return Hopeless::Why::kNoLineage;
  if (at->second.retries == 0 && !planted(Mistake::kRetriesNotCounted)) return Hopeless::Why::kNoRetries;
  return std::nullopt;
}

// The next of its needs, from `need` on, that has no reference here: it is made again first.  What has one and is lost
// as well comes as a Lost of its own, once the re-run asks for it.
std::optional<ObjectId> LineageMachine::next_need(const Record& record, std::size_t& need) const {
  while (need < record.needs.size()) {
    const ObjectId& object = record.needs[need++];
    const auto maker = records_.find(base::task_of(object));
    if (maker == records_.end() || !is_here(maker->second, object)) return object;
  }
  return std::nullopt;
}

std::optional<Hopeless> LineageMachine::plan(const ObjectId& object, std::vector<TaskId>& order) const {
  struct Visit {
    TaskId task;
    std::size_t need = 0;
  };
  const TaskId first = base::task_of(object);
  if (!records_.contains(first)) return Hopeless{object, Hopeless::Why::kNotMade, object};
  if (const auto why = obstacle(first)) return Hopeless{object, *why, object};
  std::set<TaskId> seen{first};
  std::vector<Visit> path{{first}};
  while (!path.empty()) {
    Visit& at = path.back();
    const auto need =
        planted(Mistake::kArgumentsNotMadeAgain) ? std::nullopt : next_need(records_.at(at.task), at.need);
    if (!need) {
      order.push_back(at.task);
      path.pop_back();
      continue;
    }
    const TaskId maker = base::task_of(*need);
    if (!seen.insert(maker).second) continue;
    if (const auto it = records_.find(maker); it != records_.end() && it->second.running) continue;
    if (const auto why = obstacle(maker)) return Hopeless{object, *why, *need};
    path.push_back({maker});
  }
  if (planted(Mistake::kMakersLast)) std::ranges::reverse(order);
  return std::nullopt;
}

void LineageMachine::on(Lost&& lost, Outbox<Output>& out) {
  const auto at = records_.find(base::task_of(lost.object));
  // Under way: whoever told of this had not heard so.
  if (at != records_.end() && at->second.running && !planted(Mistake::kRunsTwiceAtOnce)) return;
  std::vector<TaskId> order;
  if (const auto hopeless = plan(lost.object, order)) {
    if (!planted(Mistake::kHopelessNotTold)) out.push_back(*hopeless);
    return;
  }
  for (const TaskId& task : order) run_again(task, out);
}

void LineageMachine::run_again(const TaskId& task, Outbox<Output>& out) {
  Record& record = records_.at(task);
  if (!std::exchange(record.running, true)) ++running_;
  if (record.retries != kRetriesWithoutEnd && record.retries != 0) --record.retries;
  for (Result& result : record.results) result.here = true;
  out.push_back(Rerun{task, record.retries});
}

void LineageMachine::on(Ended&& ended, Outbox<Output>& out) {
  const auto at = records_.find(ended.task);
  if (at == records_.end() || planted(Mistake::kSecondLossSwallowed)) return;
  if (std::exchange(at->second.running, false)) --running_;
  if (!planted(Mistake::kRetriesNotCounted)) at->second.retries = ended.retries;
  forget_if_unneeded(ended.task, out);
}

// ---- invariants -------------------------------------------------------------------------------------

bool LineageMachine::is_valid() const {
  std::uint64_t bytes = 0;
  std::size_t running = 0, kept = 0;
  std::map<TaskId, std::uint32_t> named;
  for (const auto& [task, record] : records_) {
    bytes += record.bytes;
    running += record.running ? 1u : 0u;
    kept += record.kept ? 1u : 0u;
    if (!record.kept && (record.bytes != 0 || !record.needs.empty())) return false;
    if (record.kept && (!by_age_.contains(record.age) || by_age_.at(record.age) != task)) return false;
    if (!record.running && !has_result_here(record) && (!record.kept || record.dependents == 0)) return false;
    for (const ObjectId& need : record.needs) ++named[base::task_of(need)];
  }
  for (const auto& [task, record] : records_) {
    const auto at = named.find(task);
    if (record.dependents > (at == named.end() ? 0 : at->second)) return false;
  }
  return bytes == bytes_ && running == running_ && kept == by_age_.size() && bytes_ <= limits_.bytes_max;
}

}  // namespace mobula::objstore
