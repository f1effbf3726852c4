#include <algorithm>
#include <cstdio>

#include "tests/sim/own_world.h"

// What the world demands, from what user code can name: no machine is asked.
namespace mobula::sim {

using namespace objstore;
using std::chrono::seconds;

namespace {

std::string name(const base::ObjectId& object) {
  return std::to_string(object.word(0) >> 48) + "." + std::to_string(object.word(0) & 0xffff'ffff);
}

}  // namespace

void OwnWorld::violation(const std::string& what) {
  trace("VIOLATION: " + what);
  if (violations_.size() < kViolationsMax) violations_.push_back(what);
}

void OwnWorld::trace(const std::string& text) const {
  if (!options_.trace) return;
  const auto us = queue_.now().time_since_epoch() / std::chrono::microseconds(1);
  std::printf("%10lld %s\n", static_cast<long long>(us), text.c_str());
}

bool OwnWorld::is_excused() const {
  const Time since = queue_.now() - limits_.death_grace - seconds(3);
  return std::ranges::count_if(deaths_, [&](Time t) { return t >= since; }) > 1;
}

void OwnWorld::judge_freed(const RefName& ref) {
  trace("p" + std::to_string(ref.owner.word(0)) + " frees " + name(ref.object));
  if (is_excused()) return;
  for (const auto& [id, s] : seats_) {
    if (id == ref.owner || !s.process || !s.process->holds(ref.object) || s.process->is_lost(ref.object)) continue;
    violation("object " + name(ref.object) + " is freed while p" + std::to_string(id.word(0)) + " holds it");
  }
  for (const auto& [letter, e] : in_flight_) {
    const Seat& to = seats_.at(e.to);
    if (to.process->knows_dead(e.from)) continue;  // It will not be read.
    const auto* call = std::get_if<CallLetter>(&e.letter);
    const auto& refs = call != nullptr ? call->refs : std::get<ReplyLetter>(e.letter).refs;
    if (std::ranges::count(refs, ref) != 0) {
      violation("object " + name(ref.object) + " is freed while it is on its way: " + to_string(e));
    }
  }
}

// Once user code has had its time, with nothing lost any more.
void OwnWorld::check_quiet(const char* when) {
  for (const auto& [id, s] : seats_) {
    if (!s.process) continue;
    const OwnProcess& p = *s.process;
    const std::string who = "p" + std::to_string(id.word(0));
    if (p.waits() != 0) violation(who + " waits without end, " + when + ":\n" + p.describe());
    if (p.handovers() != 0)
      violation(who + " holds what it has handed over, " + std::string(when) + ":\n" + p.describe());
    const auto c = p.machine().counts();
    if (c.unanswered != 0) violation(who + " has statements that are not answered, " + when + ":\n" + p.describe());
    if (c.waiting != 0) violation(who + "'s machine waits, " + when + ":\n" + p.describe());
  }
}

void OwnWorld::name_all(const RefName& ref, std::set<base::ObjectId>& named) const {
  if (!named.insert(ref.object).second) return;
  const auto it = seats_.find(ref.owner);
  if (it == seats_.end() || !it->second.process) return;
  const auto* inside = it->second.process->inside(ref.object);
  if (inside == nullptr) return;
  for (const RefName& r : *inside) name_all(r, named);
}

void OwnWorld::check_freed(const char* when) {
  std::set<base::ObjectId> named;
  for (const auto& [id, s] : seats_) {
    if (!s.process) continue;
    for (const auto& [scope, variables] : s.process->scopes()) {
      for (const RefName& ref : variables.variables) name_all(ref, named);
    }
  }
  for (const auto& [object, owner] : born_) {
    const auto it = seats_.find(owner);
    if (!it->second.process || named.contains(object)) continue;
    if (it->second.process->inside(object) != nullptr) {
      violation("object " + name(object) + " is not freed though nobody can name it, " + when + ":\n" +
                it->second.process->describe());
    }
  }
}

void OwnWorld::check_empty() {
  for (const auto& [id, s] : seats_) {
    if (!s.process) continue;
    const auto c = s.process->machine().counts();
    if (c.claims + c.loans + c.unanswered + c.waiting + s.process->objects() + s.process->handovers() != 0) {
      violation("p" + std::to_string(id.word(0)) + "'s tables are not empty in the end:\n" + s.process->describe());
    }
  }
}

}  // namespace mobula::sim
