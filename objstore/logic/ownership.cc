#include "objstore/logic/ownership.h"

#include <utility>

#include "objstore/logic/planted.h"

namespace mobula::objstore {

using base::Outbox;
using base::Time;
using Fate = base::RequestReceiver::Fate;
using Verb = Statement::Verb;

void OwnershipMachine::step(Time now, Input input, Outbox<Output>& out) {
  std::visit([&](auto&& in) { on(now, std::move(in), out); }, std::move(input));
  pass_marks(out);
  send_new(now, out);
}

void OwnershipMachine::tick(Time now, Outbox<Output>& out) {
  while (const auto peer = repeats_.pop_due(now)) {
    StatementChannel& c = channel(*peer);
    c.sender.repeat(now, *peer, out);
    set_repeat(*peer, c);
  }
  while (const auto peer = graces_.pop_due(now)) end_grace(*peer, out);
}

std::optional<Time> OwnershipMachine::next_deadline() const { return base::earlier(repeats_.next(), graces_.next()); }

// ---- said to us -------------------------------------------------------------------------------------

void OwnershipMachine::on(Time, Tell&& tell, Outbox<Output>& out) {
  if (dead_.contains(tell.peer)) return;  // It has ended for us: what it said last may come late.
  StatementChannel& c = channel(tell.peer);
  Told told{tell.peer, {}};
  for (const Statement& statement : tell.statements) {
    Fate fate = c.receiver.receive(statement.seq, tell.floor);
    if (fate == Fate::kStale && planted(Mistake::kNoTombstone)) fate = Fate::kNew;
    if (fate == Fate::kSeen && planted(Mistake::kMergeNotIdempotent)) fate = Fate::kNew;
    if (fate == Fate::kSeen && planted(Mistake::kAnswerGivenOnce)) continue;
    if (fate == Fate::kStale || fate == Fate::kBeyond) continue;
    told.answers.push_back(hear(tell.peer, statement, fate, out));
  }
  if (!told.answers.empty()) out.push_back(std::move(told));
}

Answer OwnershipMachine::hear(const base::WorkerId& from, const Statement& statement, Fate fate, Outbox<Output>& out) {
  Answer answer{statement.seq, true};
  switch (statement.verb) {
    case Verb::kBorrow:
      if (fate == Fate::kNew && statement.exists && loans_.add(statement.object, from)) {
        out.push_back(Retain{statement.object});
      }
      answer.known = loans_.has(statement.object, from);
      break;
    case Verb::kRelease:
      if (fate == Fate::kNew && loans_.remove(statement.object, from)) out.push_back(LetGo{statement.object});
      break;
    case Verb::kHeld:
      if (fate == Fate::kNew) out.push_back(HandedOver{from, statement.handover});
      break;
  }
  return answer;
}

void OwnershipMachine::on(Time, Told&& told, Outbox<Output>& out) {
  const auto c = channels_.find(told.peer);
  if (c == channels_.end()) return;
  for (const Answer& answer : told.answers) {
    const auto statement = c->second.sender.answered(answer.seq);
    if (!statement) continue;
    have_news_.insert(told.peer);  // What waits for room in the window may go.
    if (statement->verb == Verb::kHeld) continue;
    const RefName ref{statement->object, told.peer};
    const auto then = claims_.answered(ref, statement->verb, answer.known);
    if (then.say) say(told.peer, {.verb = *then.say, .object = ref.object});
    if (then.release_later) waiting_.push_back({claims_.mark(), ref});
    if (then.unknown) out.push_back(Unknown{ref});
  }
  set_repeat(told.peer, c->second);
}

// ---- from the process -------------------------------------------------------------------------------

void OwnershipMachine::borrow(const RefName& ref, Outbox<Output>& out) {
  if (ref.owner == self_) return;
  if (dead_.contains(ref.owner)) return out.push_back(Unknown{ref});
  if (const auto verb = claims_.borrow(ref)) say(ref.owner, {.verb = *verb, .object = ref.object});
}

void OwnershipMachine::on(Time, Borrow&& input, Outbox<Output>& out) {
  for (const RefName& ref : input.refs) borrow(ref, out);
}

void OwnershipMachine::on(Time, Drop&& drop, Outbox<Output>&) {
  for (const RefName& ref : drop.refs) {
    if (claims_.drop(ref)) waiting_.push_back({claims_.mark(), ref});
  }
}

void OwnershipMachine::on(Time, Await&& await, Outbox<Output>&) { waiting_.push_back({claims_.mark(), await}); }

void OwnershipMachine::on(Time, TakeOver&& take, Outbox<Output>& out) {
  for (const RefName& ref : take.refs) borrow(ref, out);
  if (dead_.contains(take.from)) return;
  take.refs.clear();
  waiting_.push_back({claims_.mark(), std::move(take)});
}

void OwnershipMachine::on(Time now, PeerLost&& lost, Outbox<Output>& out) {
  if (!dead_.contains(lost.peer)) {
    remember_dead(lost.peer);
    graces_.set(lost.peer, now + limits_.death_grace);
    if (planted(Mistake::kDeathFreesAtOnce)) graces_.set(lost.peer, now);
    if (planted(Mistake::kGraceNeverEnds)) graces_.clear(lost.peer);
    if (!planted(Mistake::kOwnerDeathForgotten)) {
      claims_.owner_lost(lost.peer);
      channels_.erase(lost.peer);
      repeats_.clear(lost.peer);
    }
    std::erase_if(waiting_, [&](const Waiting& w) {
      const auto* take = std::get_if<TakeOver>(&w.then);
      return take != nullptr && take->from == lost.peer;
    });
  }
  if (planted(Mistake::kCoveredForgotten)) return;
  for (const RefName& ref : lost.covered) borrow(ref, out);
}

void OwnershipMachine::end_grace(const base::WorkerId& peer, Outbox<Output>& out) {
  out.push_back(GraceEnded{peer});
  if (planted(Mistake::kDeathFreesNothing)) return;
  for (const base::ObjectId& object : loans_.remove_all(peer)) out.push_back(LetGo{object});
}

// ---- the barrier and the channels -------------------------------------------------------------------

void OwnershipMachine::pass_marks(Outbox<Output>& out) {
  const auto passed = [this](const Waiting& w) {
    if (claims_.has_passed(w.mark)) return true;
    return (std::holds_alternative<RefName>(w.then) && planted(Mistake::kReleaseDoesNotWait)) ||
           (std::holds_alternative<Await>(w.then) && planted(Mistake::kReplyDoesNotWait)) ||
           (std::holds_alternative<TakeOver>(w.then) && planted(Mistake::kHeldDoesNotWait));
  };
  while (!waiting_.empty() && passed(waiting_.front())) {
    const Waiting w = std::move(waiting_.front());
    waiting_.pop_front();
    if (const auto* ref = std::get_if<RefName>(&w.then)) {
      const auto release = claims_.release(*ref);
      if (release == ClaimBook::Release::kSay) say(ref->owner, {.verb = Verb::kRelease, .object = ref->object});
      if (release == ClaimBook::Release::kLater) waiting_.push_back({claims_.mark(), *ref});
    } else if (const auto* await = std::get_if<Await>(&w.then)) {
      out.push_back(Passed{await->token});
    } else {
      const auto& take = std::get<TakeOver>(w.then);
      say(take.from, {.verb = Verb::kHeld, .handover = take.handover});
    }
  }
}

void OwnershipMachine::say(const base::WorkerId& to, Statement statement) {
  channel(to).sender.say(statement);
  have_news_.insert(to);
}

void OwnershipMachine::send_new(Time now, Outbox<Output>& out) {
  for (const base::WorkerId& peer : have_news_) {
    const auto c = channels_.find(peer);
    if (c == channels_.end()) continue;
    c->second.sender.send_new(now, peer, out);
    set_repeat(peer, c->second);
  }
  have_news_.clear();
}

void OwnershipMachine::set_repeat(const base::WorkerId& peer, const StatementChannel& c) {
  if (const auto at = c.sender.repeat_at()) {
    repeats_.set(peer, *at);
  } else {
    repeats_.clear(peer);
  }
}

StatementChannel& OwnershipMachine::channel(const base::WorkerId& peer) {
  return channels_.try_emplace(peer, limits_).first->second;
}

void OwnershipMachine::remember_dead(const base::WorkerId& peer) {
  if (planted(Mistake::kDeadAreBelieved)) return;
  dead_.insert(peer);
  dead_in_order_.push_back(peer);
  if (dead_.size() <= limits_.dead_max) return;
  dead_.erase(dead_in_order_.front());
  dead_in_order_.pop_front();
}

}  // namespace mobula::objstore
