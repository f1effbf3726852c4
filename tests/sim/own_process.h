#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "objstore/logic/ownership.h"

namespace mobula::sim {

using objstore::RefName;

// What processes send each other.  Calls, replies and values go over links that neither lose nor change anything; what
// the machines say is lost, repeated and reordered.
struct CallLetter {
  std::uint64_t call = 0;
  std::vector<RefName> refs;
};
struct ReplyLetter {
  std::uint64_t call = 0;
  std::vector<RefName> refs;
};
struct GetLetter {
  base::ObjectId object;
};
struct ValueLetter {
  base::ObjectId object;
  std::vector<RefName> inside;
};
using Letter = std::variant<CallLetter, ReplyLetter, GetLetter, ValueLetter, objstore::Tell, objstore::Told>;
struct Envelope {
  base::WorkerId from;
  base::WorkerId to;
  Letter letter;
};
std::string to_string(const Envelope& envelope);

// One process: an OwnershipMachine, the counts of references that the runtime keeps around it, and user code, which is
// whoever calls the functions below.  A value, so that a world can be copied and tried both ways.
//
// Like the runtime it holds a call's arguments until the reply, and a reply's references until they are held elsewhere.
class OwnProcess {
 public:
  using Time = base::Time;
  // What user code can name: the process's own variables (id 0), or those of one call that runs.
  struct Scope {
    std::uint64_t id = 0;
    base::WorkerId from;  // The caller.
    std::uint64_t call = 0;
    std::vector<RefName> adopted;  // Came as arguments: held by the caller too, until the reply.
    std::vector<RefName> variables;
    std::vector<RefName> results;
    bool answering = false;
  };

  OwnProcess(const base::WorkerId& self, const objstore::OwnershipLimits& limits);

  // ---- user code
  RefName put(std::uint64_t scope, std::vector<RefName> inside);
  void drop(Time now, std::uint64_t scope, std::size_t variable);
  void keep(std::uint64_t scope, std::size_t variable);  // Moves it to the process's own variables.
  void call(std::uint64_t scope, const base::WorkerId& to, std::vector<RefName> refs);
  // What the value holds becomes variables; the reference to the value itself may go in the same moment.
  enum class Outer { kKept, kDropped };
  void get(Time now, std::uint64_t scope, std::size_t variable, Outer outer = Outer::kKept);
  void answer(Time now, std::uint64_t scope, std::vector<RefName> results);

  // ---- from outside
  void receive(Time now, const Envelope& envelope);
  void hear_of_death(Time now, const base::WorkerId& peer);
  void tick(Time now);

  // ---- what came of it; whoever reads these empties them
  std::vector<Envelope> sent;
  std::vector<RefName> freed;
  std::vector<std::string> violations;

  // ---- to look at
  const base::WorkerId& self() const { return self_; }
  const std::map<std::uint64_t, Scope>& scopes() const { return scopes_; }
  const objstore::OwnershipMachine& machine() const { return machine_; }
  bool knows_dead(const base::WorkerId& peer) const { return dead_.contains(peer); }
  bool holds(const base::ObjectId& object) const;    // Whatever for.
  bool is_lost(const base::ObjectId& object) const;  // It holds it, and has been told that it is an error.
  std::size_t waits() const { return calls_.size() + gets_.size() + scopes_.size() - 1; }
  std::size_t handovers() const { return returned_.size(); }
  std::size_t objects() const { return objects_.size(); }
  const std::vector<RefName>* inside(const base::ObjectId& own) const;  // Null when it is not here any more.
  std::string describe() const;                                         // All but times.

 private:
  struct Local {
    base::WorkerId owner;
    std::uint32_t count = 0;
    bool claimed = false;         // The machine has been told to borrow it.
    bool lent = false;            // Ours, held for others.
    bool lost = false;            // An error for whoever reads it.
    std::vector<RefName> inside;  // Ours.
  };
  struct Call {
    base::WorkerId to;
    std::uint64_t scope = 0;
    std::vector<RefName> pins;
  };

  struct Get {
    std::uint64_t scope = 0;
    Outer outer = Outer::kKept;
  };

  void hold(const RefName& ref);
  void unhold(const RefName& ref);
  void give(std::uint64_t scope, const std::vector<RefName>& refs);  // To its variables, if it is there still.
  void drop_outer(const Get& get, const base::ObjectId& object);
  std::vector<RefName> claim(const std::vector<RefName>& refs);  // Those that the machine is to borrow.
  void step(Time now, objstore::OwnershipInput input);
  void settle(Time now);
  void drop_unheld(Time now);
  void carry_out(const objstore::OwnershipOutput& output);
  void reply(std::uint64_t scope);
  void on(Time now, const Envelope& e, const CallLetter& letter);
  void on(Time now, const Envelope& e, const ReplyLetter& letter);
  void on(Time now, const Envelope& e, const GetLetter& letter);
  void on(Time now, const Envelope& e, const ValueLetter& letter);
  void on(Time now, const Envelope& e, const objstore::Tell& letter);
  void on(Time now, const Envelope& e, const objstore::Told& letter);

  base::WorkerId self_;
  objstore::OwnershipMachine machine_;
  std::map<base::ObjectId, Local> objects_;
  std::map<std::uint64_t, Scope> scopes_;
  std::map<std::uint64_t, Call> calls_;
  std::map<std::pair<base::WorkerId, std::uint64_t>, std::vector<RefName>> returned_;
  std::map<base::ObjectId, std::vector<Get>> gets_;        // Scopes that wait.
  std::map<base::WorkerId, std::vector<RefName>> graves_;  // Held for the dead until the grace ends.
  std::set<base::WorkerId> dead_;
  std::vector<base::ObjectId> unheld_;
  std::vector<objstore::OwnershipOutput> outputs_;
  std::uint32_t next_object_ = 1;
  std::uint64_t next_call_ = 1, next_scope_ = 1;
};

}  // namespace mobula::sim
