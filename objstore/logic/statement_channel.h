#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "core/base/machine.h"
#include "core/base/request_window.h"
#include "objstore/logic/ownership_messages.h"

namespace mobula::objstore {

// What this process says to one other, exactly once over a network that loses, repeats and reorders: each statement is
// numbered, repeated until it is answered, and recognised when it comes again (core/base/request_window.h).
//
// Invariant: open_ and waiting_ hold what has been said and not answered, in order; open_ lies within the window.
class StatementSender {
 public:
  explicit StatementSender(const OwnershipLimits& limits) : limits_(limits) {}

  void say(Statement statement);
  // The statement that this answers; nothing when it has been answered before.
  std::optional<Statement> answered(std::uint64_t seq);

  // Appends what is new, then sets when to repeat.
  void send_new(base::Time now, const base::WorkerId& peer, base::Outbox<OwnershipOutput>& out);
  // Appends all that is open once more.
  void repeat(base::Time now, const base::WorkerId& peer, base::Outbox<OwnershipOutput>& out);
  std::optional<base::Time> repeat_at() const { return repeat_at_; }

  std::size_t unanswered() const { return open_.size() + waiting_.size(); }
  std::size_t open() const { return open_.size(); }
  template <class F>
  void each(F&& f) const {
    for (const auto& [seq, statement] : open_) f(statement);
    for (const Statement& statement : waiting_) f(statement);
  }
  bool is_valid() const;

 private:
  std::uint64_t floor() const;
  void send(std::uint64_t from, bool again, const base::WorkerId& peer, base::Outbox<OwnershipOutput>& out) const;

  OwnershipLimits limits_;
  std::uint64_t next_ = 1;
  std::uint64_t unsent_ = 1;  // The first that has never been sent.
  std::map<std::uint64_t, Statement> open_;
  std::deque<Statement> waiting_;
  base::Duration backoff_{0};
  std::optional<base::Time> repeat_at_;
};

// The two directions between this process and another.
struct StatementChannel {
  explicit StatementChannel(const OwnershipLimits& limits) : sender(limits), receiver(limits.window) {}
  StatementSender sender;
  base::RequestReceiver receiver;
};

}  // namespace mobula::objstore
