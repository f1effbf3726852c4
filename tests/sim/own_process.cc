#include "tests/sim/own_process.h"

#include <algorithm>
#include <utility>

namespace mobula::sim {

using namespace objstore;

OwnProcess::OwnProcess(const base::WorkerId& self, const OwnershipLimits& limits)
    : self_(self), machine_(self, limits) {
  scopes_[0];
}

// ---- counts -----------------------------------------------------------------------------------------

void OwnProcess::hold(const RefName& ref) {
  const auto [it, made] = objects_.try_emplace(ref.object);
  Local& local = it->second;
  ++local.count;
  if (!made) return;
  local.owner = ref.owner;
  local.lost = ref.owner == self_ || dead_.contains(ref.owner);  // Ours by name, and gone; or its owner is.
}

void OwnProcess::unhold(const RefName& ref) {
  const auto it = objects_.find(ref.object);
  if (--it->second.count == 0) unheld_.push_back(ref.object);
}

void OwnProcess::give(std::uint64_t scope, const std::vector<RefName>& refs) {
  const auto it = scopes_.find(scope);
  for (const RefName& ref : refs) {
    hold(ref);
    if (it == scopes_.end() || it->second.answering) {
      unhold(ref);
    } else {
      it->second.variables.push_back(ref);
    }
  }
}

std::vector<RefName> OwnProcess::claim(const std::vector<RefName>& refs) {
  std::vector<RefName> claimed;
  for (const RefName& ref : refs) {
    if (ref.owner == self_ || dead_.contains(ref.owner)) continue;
    objects_.at(ref.object).claimed = true;
    claimed.push_back(ref);
  }
  return claimed;
}

void OwnProcess::step(Time now, OwnershipInput input) { machine_.step(now, std::move(input), outputs_); }

void OwnProcess::drop_unheld(Time now) {
  Drop dropped;
  while (!unheld_.empty()) {
    const base::ObjectId id = unheld_.back();
    unheld_.pop_back();
    const auto it = objects_.find(id);
    if (it == objects_.end() || it->second.count != 0 || it->second.lent) continue;
    const Local local = std::move(it->second);
    objects_.erase(it);
    if (local.owner != self_) {
      if (local.claimed) dropped.refs.push_back({id, local.owner});
      continue;
    }
    if (!local.lost) freed.push_back({id, self_});
    for (const RefName& ref : local.inside) unhold(ref);
  }
  if (!dropped.refs.empty()) step(now, std::move(dropped));
}

void OwnProcess::settle(Time now) {
  for (;;) {
    drop_unheld(now);
    if (outputs_.empty()) return;
    for (const OwnershipOutput& output : std::exchange(outputs_, {})) carry_out(output);
  }
}

void OwnProcess::carry_out(const OwnershipOutput& output) {
  if (const auto* tell = std::get_if<Tell>(&output)) {
    sent.push_back({self_, tell->peer, *tell});
  } else if (const auto* told = std::get_if<Told>(&output)) {
    sent.push_back({self_, told->peer, *told});
  } else if (const auto* retain = std::get_if<Retain>(&output)) {
    const auto it = objects_.find(retain->object);
    if (it == objects_.end()) return violations.push_back("the machine retains what is not here");
    it->second.lent = true;
  } else if (const auto* let_go = std::get_if<LetGo>(&output)) {
    const auto it = objects_.find(let_go->object);
    if (it == objects_.end()) return violations.push_back("the machine lets go of what is not here");
    it->second.lent = false;
    unheld_.push_back(let_go->object);
  } else if (const auto* unknown = std::get_if<Unknown>(&output)) {
    gets_.erase(unknown->ref.object);
    const auto it = objects_.find(unknown->ref.object);
    if (it == objects_.end()) return;
    it->second.lost = true;
    it->second.claimed = false;
  } else if (const auto* passed = std::get_if<Passed>(&output)) {
    reply(passed->token);
  } else if (const auto* ended = std::get_if<GraceEnded>(&output)) {
    for (const RefName& ref : graves_[ended->peer]) unhold(ref);
    graves_.erase(ended->peer);
  } else {
    const auto& handed = std::get<HandedOver>(output);
    const auto it = returned_.find({handed.peer, handed.handover});
    if (it == returned_.end()) return;
    for (const RefName& ref : it->second) unhold(ref);
    returned_.erase(it);
  }
}

// ---- user code --------------------------------------------------------------------------------------

RefName OwnProcess::put(std::uint64_t scope, std::vector<RefName> inside) {
  const RefName ref{base::ObjectId::from_words(self_.word(0) << 48 | next_object_, 0, 0, 0), self_};
  ++next_object_;
  for (const RefName& r : inside) hold(r);
  Local& local = objects_[ref.object];
  local.owner = self_;
  local.count = 1;
  local.inside = std::move(inside);
  scopes_.at(scope).variables.push_back(ref);
  return ref;
}

void OwnProcess::drop(Time now, std::uint64_t scope, std::size_t variable) {
  auto& variables = scopes_.at(scope).variables;
  const RefName ref = variables[variable];
  variables.erase(variables.begin() + static_cast<std::ptrdiff_t>(variable));
  unhold(ref);
  settle(now);
}

void OwnProcess::keep(std::uint64_t scope, std::size_t variable) {
  auto& variables = scopes_.at(scope).variables;
  scopes_.at(0).variables.push_back(variables[variable]);
  variables.erase(variables.begin() + static_cast<std::ptrdiff_t>(variable));
}

void OwnProcess::call(std::uint64_t scope, const base::WorkerId& to, std::vector<RefName> refs) {
  if (dead_.contains(to)) return;
  const std::uint64_t id = next_call_++;
  for (const RefName& ref : refs) hold(ref);
  calls_[id] = {to, scope, refs};
  sent.push_back({self_, to, CallLetter{id, std::move(refs)}});
}

void OwnProcess::get(Time now, std::uint64_t scope, std::size_t variable, Outer outer) {
  const RefName ref = scopes_.at(scope).variables[variable];
  const Local& local = objects_.at(ref.object);
  if (local.lost) return;
  if (ref.owner == self_) {
    give(scope, std::vector<RefName>(local.inside));
    drop_outer({scope, outer}, ref.object);
    return settle(now);
  }
  auto& waiting = gets_[ref.object];
  waiting.push_back({scope, outer});
  if (waiting.size() == 1) sent.push_back({self_, ref.owner, GetLetter{ref.object}});
}

void OwnProcess::drop_outer(const Get& get, const base::ObjectId& object) {
  const auto scope = scopes_.find(get.scope);
  if (get.outer == Outer::kKept || scope == scopes_.end()) return;
  auto& variables = scope->second.variables;
  const auto it = std::ranges::find_if(variables, [&](const RefName& r) { return r.object == object; });
  if (it == variables.end()) return;
  const RefName ref = *it;
  variables.erase(it);
  unhold(ref);
}

// What the arguments brought and is held still is borrowed; the caller's own hold ends with the reply.
void OwnProcess::answer(Time now, std::uint64_t id, std::vector<RefName> results) {
  Scope& scope = scopes_.at(id);
  for (const RefName& ref : results) hold(ref);
  scope.results = std::move(results);
  scope.answering = true;
  for (const RefName& ref : std::exchange(scope.variables, {})) unhold(ref);
  std::vector<RefName> held;
  for (const RefName& ref : scope.adopted) {
    if (objects_.at(ref.object).count > 1) held.push_back(ref);
  }
  if (!held.empty()) step(now, Borrow{claim(held)});
  for (const RefName& ref : std::exchange(scope.adopted, {})) unhold(ref);
  step(now, Await{id});
  settle(now);
}

void OwnProcess::reply(std::uint64_t id) {
  const auto it = scopes_.find(id);
  if (it == scopes_.end()) return violations.push_back("the machine passes a token that nobody waits for");
  Scope scope = std::move(it->second);
  scopes_.erase(it);
  if (dead_.contains(scope.from)) {
    for (const RefName& ref : scope.results) unhold(ref);
    return;
  }
  sent.push_back({self_, scope.from, ReplyLetter{scope.call, scope.results}});
  if (!scope.results.empty()) returned_[{scope.from, scope.call}] = std::move(scope.results);
}

// ---- from outside -----------------------------------------------------------------------------------

void OwnProcess::receive(Time now, const Envelope& envelope) {
  // A link that has ended brings nothing; the machine must not rely on that.
  const bool for_machine =
      std::holds_alternative<Tell>(envelope.letter) || std::holds_alternative<Told>(envelope.letter);
  if (dead_.contains(envelope.from) && !for_machine) return;
  std::visit([&](const auto& letter) { on(now, envelope, letter); }, envelope.letter);
  settle(now);
}

void OwnProcess::on(Time, const Envelope& e, const CallLetter& letter) {
  const std::uint64_t id = next_scope_++;
  Scope& scope = scopes_[id];
  scope.id = id;
  scope.from = e.from;
  scope.call = letter.call;
  scope.adopted = letter.refs;
  for (const RefName& ref : letter.refs) hold(ref);
  give(id, letter.refs);
}

void OwnProcess::on(Time now, const Envelope& e, const ReplyLetter& letter) {
  const auto it = calls_.find(letter.call);
  if (it == calls_.end()) {  // A second copy.
    if (!letter.refs.empty()) step(now, TakeOver{e.from, letter.call, {}});
    return;
  }
  const Call call = std::move(it->second);
  calls_.erase(it);
  for (const RefName& ref : letter.refs) hold(ref);  // The result itself, for a moment.
  give(call.scope, letter.refs);
  if (!letter.refs.empty()) step(now, TakeOver{e.from, letter.call, claim(letter.refs)});
  for (const RefName& ref : letter.refs) unhold(ref);
  for (const RefName& ref : call.pins) unhold(ref);
}

void OwnProcess::on(Time, const Envelope& e, const GetLetter& letter) {
  const auto it = objects_.find(letter.object);
  const bool here = it != objects_.end() && it->second.owner == self_;
  sent.push_back({self_, e.from, ValueLetter{letter.object, here ? it->second.inside : std::vector<RefName>()}});
}

void OwnProcess::on(Time now, const Envelope&, const ValueLetter& letter) {
  const auto it = gets_.find(letter.object);
  if (it == gets_.end()) return;
  const auto waiting = std::move(it->second);
  gets_.erase(it);
  if (!holds(letter.object)) return;
  for (const Get& get : waiting) {
    for (const RefName& ref : letter.inside) hold(ref);
    give(get.scope, letter.inside);
    step(now, Borrow{claim(letter.inside)});
    for (const RefName& ref : letter.inside) unhold(ref);
    drop_outer(get, letter.object);
  }
}

void OwnProcess::on(Time now, const Envelope& e, const Tell& letter) {
  Tell tell = letter;
  tell.peer = e.from;
  for (Statement& s : tell.statements) s.exists = objects_.contains(s.object);
  step(now, std::move(tell));
}

void OwnProcess::on(Time now, const Envelope& e, const Told& letter) {
  Told told = letter;
  told.peer = e.from;
  step(now, std::move(told));
}

void OwnProcess::hear_of_death(Time now, const base::WorkerId& peer) {
  if (!dead_.insert(peer).second) return;
  for (auto& [id, local] : objects_) {
    if (local.owner == peer) local.lost = true;
  }
  PeerLost lost{peer, {}};
  for (const auto& [id, scope] : scopes_) {
    if (scope.from != peer) continue;
    const auto covered = claim(scope.adopted);
    lost.covered.insert(lost.covered.end(), covered.begin(), covered.end());
  }
  step(now, std::move(lost));
  std::vector<RefName>& grave = graves_[peer];
  std::erase_if(calls_, [&](auto& call) {
    if (call.second.to != peer) return false;
    grave.insert(grave.end(), call.second.pins.begin(), call.second.pins.end());
    return true;
  });
  std::erase_if(returned_, [&](auto& entry) {
    if (entry.first.first != peer) return false;
    grave.insert(grave.end(), entry.second.begin(), entry.second.end());
    return true;
  });
  std::erase_if(gets_, [&](const auto& entry) {
    const auto it = objects_.find(entry.first);
    return it == objects_.end() || it->second.owner == peer;
  });
  settle(now);
}

void OwnProcess::tick(Time now) {
  machine_.tick(now, outputs_);
  settle(now);
}

// ---- to look at -------------------------------------------------------------------------------------

bool OwnProcess::holds(const base::ObjectId& object) const {
  const auto it = objects_.find(object);
  return it != objects_.end() && it->second.count != 0;
}

bool OwnProcess::is_lost(const base::ObjectId& object) const {
  const auto it = objects_.find(object);
  return it != objects_.end() && it->second.lost;
}

const std::vector<RefName>* OwnProcess::inside(const base::ObjectId& own) const {
  const auto it = objects_.find(own);
  return it == objects_.end() ? nullptr : &it->second.inside;
}

}  // namespace mobula::sim
