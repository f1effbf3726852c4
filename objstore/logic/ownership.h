#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "core/base/timers.h"
#include "objstore/logic/claim_book.h"
#include "objstore/logic/loan_book.h"
#include "objstore/logic/ownership_messages.h"
#include "objstore/logic/statement_channel.h"

namespace mobula::objstore {

// One process's part in distributed reference counting (ARCHITECTURE section 7; docs/protocols/ownership.md).
//
// Obligation: every live reference is in its owner's table, or in a message in flight that names it.  It is met by one
// rule, that a holder which passes a reference on is counted until the owner knows the receiver, and by one barrier: a
// process neither releases what it holds nor answers a call while a borrow that it began before is not answered.
//
// The process counts its own references, and tells the machine of an object only once another process must know:
// an argument that is gone when its call ends never comes here.
class OwnershipMachine {
 public:
  using Input = OwnershipInput;
  using Output = OwnershipOutput;

  explicit OwnershipMachine(const base::WorkerId& self, OwnershipLimits limits = {}) : self_(self), limits_(limits) {}

  void step(base::Time now, Input input, base::Outbox<Output>& out);
  void tick(base::Time now, base::Outbox<Output>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  // True: Await would pass at once.
  bool is_settled() const { return !claims_.has_open(); }

  struct Counts {
    std::size_t claims = 0;      // Objects of others.
    std::size_t loans = 0;       // Objects of ours.
    std::size_t unanswered = 0;  // Statements.
    std::size_t waiting = 0;     // For a mark to pass.
  };
  Counts counts() const;
  std::string describe() const;  // All that decides what it does next, but for times.

 private:
  // What is done when a mark has passed: one of three.
  struct Waiting {
    ClaimBook::Mark mark = 0;
    std::variant<RefName, Await, TakeOver> then;
  };

  void on(base::Time now, Tell&& tell, base::Outbox<Output>& out);
  void on(base::Time now, Told&& told, base::Outbox<Output>& out);
  void on(base::Time now, Borrow&& borrow, base::Outbox<Output>& out);
  void on(base::Time now, Drop&& drop, base::Outbox<Output>& out);
  void on(base::Time now, Await&& await, base::Outbox<Output>& out);
  void on(base::Time now, TakeOver&& take, base::Outbox<Output>& out);
  void on(base::Time now, PeerLost&& lost, base::Outbox<Output>& out);

  void borrow(const RefName& ref, base::Outbox<Output>& out);
  Answer hear(const base::WorkerId& from, const Statement& statement, base::RequestReceiver::Fate fate,
              base::Outbox<Output>& out);
  void say(const base::WorkerId& to, Statement statement);
  void end_grace(const base::WorkerId& peer, base::Outbox<Output>& out);
  void pass_marks(base::Outbox<Output>& out);
  void send_new(base::Time now, base::Outbox<Output>& out);
  void set_repeat(const base::WorkerId& peer, const StatementChannel& channel);
  StatementChannel& channel(const base::WorkerId& peer);
  void remember_dead(const base::WorkerId& peer);

  base::WorkerId self_;
  OwnershipLimits limits_;
  ClaimBook claims_;
  LoanBook loans_;
  std::deque<Waiting> waiting_;  // In the order of marks.
  std::map<base::WorkerId, StatementChannel> channels_;
  base::Timers<base::WorkerId> repeats_;
  base::Timers<base::WorkerId> graces_;
  std::set<base::WorkerId> have_news_;  // Channels with something new to send; empty between steps.
  std::set<base::WorkerId> dead_;
  std::deque<base::WorkerId> dead_in_order_;
};

}  // namespace mobula::objstore
