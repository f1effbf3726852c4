#include "tests/sim/own_world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace mobula::sim {

using namespace objstore;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

OwnWorld::OwnWorld(Options options) : options_(options), rng_(options.seed) {
  const double rates[] = {0, 0.01, 0.05, 0.1};
  loss_ = rates[rng_.below(4)];
  repeat_ = rates[rng_.below(4)];
  delay_us_max_ = rng_.between(50, rng_.chance(0.3) ? 200'000 : 5'000);
  think_us_max_ = rng_.between(500, 60'000);
  hear_ms_max_ = rng_.chance(0.3) ? 1'500 : rng_.between(1, 300);
  if (rng_.chance(0.5) && delay_us_max_ < 5'000) {
    limits_.window = rng_.between(1, 6);
    limits_.statements_max = rng_.between(1, 3);
  }
}

// ---- the course of a run ----------------------------------------------------------------------------

void OwnWorld::run() {
  const std::uint64_t processes = rng_.chance(0.2) ? rng_.between(6, 16) : rng_.between(2, 5);
  for (std::uint64_t i = 0; i < processes; ++i) add_process();
  const std::uint64_t steps = rng_.between(50, 1'500);  // About as many as there will be.
  deaths_max_ = rng_.chance(0.3) ? 0 : rng_.chance(0.7) ? 1 : processes - 1;
  for (std::uint64_t i = 0; i < deaths_max_; ++i) kill_at_step_.insert(rng_.between(5, steps));
  stop_some();
  queue_.run_until(queue_.now() + milliseconds(rng_.between(200, 3'000)));
  active_ = false;
  answer_at_ = queue_.now();
  if (rng_.chance(0.3)) answer_at_ += milliseconds(rng_.between(5'000, 9'000));  // Calls longer than any grace.
  trace("healed: user code only ends its calls");
  queue_.run_until(answer_at_ + kBound);
  check_quiet("after healing");
  check_freed("after healing");
  // One more, of a process that others borrow from and lend to.
  if (living().size() > 1 && rng_.chance(0.5)) {
    const auto all = living();
    kill(all[rng_.below(all.size())]);
    queue_.run_until(queue_.now() + kBound);
    check_quiet("after a late death");
    check_freed("after a late death");
  }
  drop_all();
  queue_.run_until(queue_.now() + kBound);
  check_freed("in the end");
  check_empty();
}

void OwnWorld::add_process() {
  const auto id = base::WorkerId::from_words(next_process_++, 7, 2, 0);
  seats_[id].process.emplace(id, limits_);
  act(id);
}

OwnWorld::Seat* OwnWorld::seat(const base::WorkerId& id) {
  const auto it = seats_.find(id);
  return it == seats_.end() || !it->second.process ? nullptr : &it->second;
}

std::vector<base::WorkerId> OwnWorld::living() const {
  std::vector<base::WorkerId> ids;
  for (const auto& [id, s] : seats_) {
    if (s.process) ids.push_back(id);
  }
  return ids;
}

// ---- user code --------------------------------------------------------------------------------------

std::vector<RefName> OwnWorld::some_of(const std::vector<RefName>& refs, std::uint64_t most) {
  std::vector<RefName> some;
  if (refs.empty()) return some;
  for (std::uint64_t n = rng_.below(most + 1); n != 0; --n) some.push_back(refs[rng_.below(refs.size())]);
  return some;
}

void OwnWorld::act(const base::WorkerId& id) {
  queue_.after(microseconds(rng_.between(1, think_us_max_)), [this, id] {
    Seat* s = seat(id);
    if (s == nullptr) return;
    if (s->stopped_until <= queue_.now()) {
      if (active_) {
        act_once(*s->process, queue_.now());
      } else if (queue_.now() >= answer_at_ && !answer_one(*s->process, queue_.now())) {
        return;  // receive() of another call begins anew.
      }
      after(*s);
    }
    act(id);
  });
}

bool OwnWorld::answer_one(OwnProcess& p, Time now) {
  for (const auto& [id, scope] : p.scopes()) {
    if (id == 0 || scope.answering) continue;
    p.answer(now, id, some_of(scope.variables, 2));
    return true;
  }
  return false;
}

void OwnWorld::act_once(OwnProcess& p, Time now) {
  std::vector<std::uint64_t> scopes;
  for (const auto& [id, scope] : p.scopes()) {
    if (!scope.answering) scopes.push_back(id);
  }
  const std::uint64_t scope = scopes[rng_.below(scopes.size())];
  const std::vector<RefName>& variables = p.scopes().at(scope).variables;
  const std::uint64_t kind = rng_.below(100);
  if (variables.empty() || kind < 12) {
    const std::vector<RefName> inside = some_of(variables, 2);
    const RefName made = p.put(scope, inside);
    born_[made.object] = made.owner;
    if (rng_.chance(0.5)) {
      for (const RefName& ref : inside) drop_one(p, now, scope, ref);
    }
  } else if (kind < 40) {
    const auto others = living();
    const auto& to = others[rng_.below(others.size())];
    auto refs = some_of(variables, 2);
    refs.push_back(variables[rng_.below(variables.size())]);
    if (to != p.self() && p.scopes().size() < 20) p.call(scope, to, std::move(refs));
  } else if (kind < 60) {
    p.drop(now, scope, rng_.below(variables.size()));
  } else if (kind < 70) {
    if (scope != 0) p.keep(scope, rng_.below(variables.size()));
  } else if (kind < 80) {
    p.get(now, scope, rng_.below(variables.size()),
          rng_.chance(0.5) ? OwnProcess::Outer::kDropped : OwnProcess::Outer::kKept);
  } else if (scope != 0) {
    p.answer(now, scope, some_of(variables, 2));
  }
}

void OwnWorld::drop_one(OwnProcess& p, Time now, std::uint64_t scope, const RefName& ref) {
  const auto& variables = p.scopes().at(scope).variables;
  const auto it = std::ranges::find(variables, ref);
  if (it != variables.end()) p.drop(now, scope, static_cast<std::size_t>(it - variables.begin()));
}

void OwnWorld::drop_all() {
  trace("everything is dropped");
  for (const base::WorkerId& id : living()) {
    Seat* s = seat(id);
    while (s != nullptr && s->process && !s->process->scopes().at(0).variables.empty()) {
      s->process->drop(queue_.now(), 0, 0);
      after(*s);
    }
  }
}

// ---- faults -----------------------------------------------------------------------------------------

void OwnWorld::stop_some() {
  queue_.after(milliseconds(rng_.between(5, 700)), [this] {
    if (!active_) return;
    const auto all = living();
    if (!all.empty() && rng_.chance(0.5)) {
      const base::WorkerId& id = all[rng_.below(all.size())];
      Seat& s = *seat(id);
      if (s.stopped_until <= queue_.now()) {
        s.stopped_until = queue_.now() + milliseconds(rng_.between(1, 800));
        trace("p" + std::to_string(id.word(0)) + " is stopped");
      }
    }
    stop_some();
  });
}

void OwnWorld::kill(const base::WorkerId& id) {
  Seat* s = seat(id);
  if (s == nullptr) return;
  trace("p" + std::to_string(id.word(0)) + " dies");
  s->process.reset();
  deaths_.push_back(queue_.now());
  std::erase_if(in_flight_, [&](const auto& letter) { return letter.second.to == id; });
  for (const base::WorkerId& other : living()) {
    const auto hear = [this, id, other](auto&& again) -> void {
      Seat* o = seat(other);
      if (o == nullptr) return;
      if (o->stopped_until > queue_.now()) return queue_.at(o->stopped_until, [again] { again(again); });
      trace("p" + std::to_string(other.word(0)) + " hears that p" + std::to_string(id.word(0)) + " has died");
      o->process->hear_of_death(queue_.now(), id);
      after(*o);
    };
    queue_.after(microseconds(rng_.below(hear_ms_max_ * 1'000 + 1)), [hear] { hear(hear); });
  }
}

// ---- messages ---------------------------------------------------------------------------------------

void OwnWorld::after(Seat& s) {
  OwnProcess& p = *s.process;
  const base::WorkerId id = p.self();
  const auto sent = std::exchange(p.sent, {});
  for (const RefName& ref : std::exchange(p.freed, {})) judge_freed(ref);
  for (const std::string& what : std::exchange(p.violations, {})) violation(what);
  if (options_.ask_machines && !p.machine().is_valid())
    violation("p" + std::to_string(id.word(0)) + " is not valid:\n" + p.machine().describe());
  const bool dies = !sent.empty() && kill_at_step_.contains(++steps_) && living().size() > 1;
  const std::size_t gets_out = dies ? rng_.below(sent.size() + 1) : sent.size();
  for (std::size_t i = 0; i < gets_out; ++i) send(sent[i]);
  if (dies) return kill(id);
  arm(s);
}

void OwnWorld::arm(Seat& s) {
  const auto next = s.process->machine().next_deadline();
  const std::uint64_t armed = ++s.timer;
  if (!next) return;
  queue_.at(std::max({*next, s.stopped_until, queue_.now()}), [this, id = s.process->self(), armed] {
    Seat* now = seat(id);
    if (now == nullptr || now->timer != armed) return;
    if (now->stopped_until > queue_.now()) return arm(*now);
    now->process->tick(queue_.now());
    const auto again = now->process->machine().next_deadline();
    if (again && *again <= queue_.now()) violation("a deadline stays in the past");
    after(*now);
  });
}

void OwnWorld::send(const Envelope& e) {
  const std::string text = to_string(e);
  trace(text);
  digest_ = base::mix64(digest_ ^ base::hash64(text));
  if (seat(e.to) == nullptr) return;
  const auto delay = [this] { return microseconds(rng_.between(1, delay_us_max_)); };
  const bool lossy = std::holds_alternative<Tell>(e.letter) || std::holds_alternative<Told>(e.letter);
  if (!lossy) {
    const std::uint64_t letter = next_letter_++;
    if (!std::holds_alternative<GetLetter>(e.letter) && !std::holds_alternative<ValueLetter>(e.letter)) {
      in_flight_[letter] = e;
    }
    fly(letter, e, delay());
    if (std::holds_alternative<ReplyLetter>(e.letter) && active_ && rng_.chance(repeat_)) {
      fly(0, e, delay() + Duration(microseconds(delay_us_max_)));
    }
    return;
  }
  if (active_ && rng_.chance(loss_)) {
    ++lost_;
    trace("  lost");
  } else {
    fly(0, e, delay());
  }
  // A copy may be very late.
  while (active_ && rng_.chance(repeat_))
    fly(0, e, rng_.chance(0.5) ? Duration(delay()) : milliseconds(rng_.between(1, 9'000)));
}

void OwnWorld::fly(std::uint64_t letter, const Envelope& e, Duration delay) {
  queue_.after(delay, [this, letter, e] { deliver(letter, e); });
}

void OwnWorld::deliver(std::uint64_t letter, const Envelope& e) {
  Seat* s = seat(e.to);
  if (s == nullptr) return;
  if (s->stopped_until > queue_.now()) return queue_.at(s->stopped_until, [this, letter, e] { deliver(letter, e); });
  if (letter != 0) in_flight_.erase(letter);
  trace("  arrives: " + to_string(e));
  s->process->receive(queue_.now(), e);
  after(*s);
  if (!active_ && seat(e.to) != nullptr && std::holds_alternative<CallLetter>(e.letter)) act(e.to);
}

}  // namespace mobula::sim
