#include "objstore/logic/statement_channel.h"

#include <algorithm>

#include "objstore/logic/planted.h"

namespace mobula::objstore {
namespace {

bool is_sent_once(Statement::Verb verb) {
  switch (verb) {
    case Statement::Verb::kBorrow: return planted(Mistake::kBorrowSentOnce);
    case Statement::Verb::kRelease: return planted(Mistake::kReleaseSentOnce);
    case Statement::Verb::kHeld: return planted(Mistake::kHeldSentOnce);
  }
  return false;
}

}  // namespace

std::uint64_t StatementSender::floor() const {
  if (planted(Mistake::kFloorTooHigh)) return next_ - 1;
  return open_.empty() ? next_ : open_.begin()->first;
}

void StatementSender::say(Statement statement) { waiting_.push_back(statement); }

std::optional<Statement> StatementSender::answered(std::uint64_t seq) {
  auto it = open_.find(seq);
  if (it == open_.end() && planted(Mistake::kAnswerForAnyStatement)) it = open_.begin();
  if (it == open_.end()) return std::nullopt;
  const Statement statement = it->second;
  open_.erase(it);
  backoff_ = limits_.repeat_first;
  if (open_.empty()) repeat_at_.reset();
  return statement;
}

void StatementSender::send(std::uint64_t from, bool again, const base::WorkerId& peer,
                           base::Outbox<OwnershipOutput>& out) const {
  Tell tell{peer, floor(), {}};
  for (auto it = open_.lower_bound(from); it != open_.end(); ++it) {
    if (again && is_sent_once(it->second.verb)) continue;
    tell.statements.push_back(it->second);
    if (tell.statements.size() < limits_.statements_max) continue;
    out.push_back(tell);
    tell.statements.clear();
  }
  if (!tell.statements.empty()) out.push_back(std::move(tell));
}

void StatementSender::send_new(base::Time now, const base::WorkerId& peer, base::Outbox<OwnershipOutput>& out) {
  while (!waiting_.empty() && next_ - (open_.empty() ? next_ : open_.begin()->first) < limits_.window) {
    Statement& statement = open_[next_] = waiting_.front();
    statement.seq = next_++;
    waiting_.pop_front();
  }
  if (planted(Mistake::kBeyondTheWindowLost)) waiting_.clear();
  if (unsent_ == next_) return;
  send(unsent_, false, peer, out);
  unsent_ = next_;
  if (repeat_at_) return;
  backoff_ = limits_.repeat_first;
  repeat_at_ = now + backoff_;
}

void StatementSender::repeat(base::Time now, const base::WorkerId& peer, base::Outbox<OwnershipOutput>& out) {
  if (open_.empty()) return repeat_at_.reset();
  send(0, true, peer, out);
  backoff_ = std::min(backoff_ * 2, limits_.repeat_max);
  repeat_at_ = now + backoff_;
}

bool StatementSender::is_valid() const {
  if (!open_.empty() && (next_ - open_.begin()->first > limits_.window || open_.rbegin()->first >= next_)) return false;
  return unsent_ <= next_ && open_.empty() == !repeat_at_;
}

}  // namespace mobula::objstore
