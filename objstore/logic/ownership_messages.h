#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"

// What goes into and comes out of an OwnershipMachine (ownership.h; docs/protocols/ownership.md).
namespace mobula::objstore {

// A reference as it travels: whoever reads it knows whom to ask.
struct RefName {
  base::ObjectId object;
  base::WorkerId owner;
  auto operator<=>(const RefName&) const = default;
};

// ---- Between two processes ------------------------------------------------------------------------

// One thing that a process says to another, numbered per pair of processes.
struct Statement {
  enum class Verb : std::uint8_t {
    kBorrow,   // To the owner: I hold `object`, count me.
    kRelease,  // To the owner: my last reference to `object` is gone.
    kHeld,     // To who sent me references in `handover`: their owners know me, you may let go.
  };
  std::uint64_t seq = 0;
  Verb verb = Verb::kBorrow;
  bool exists = false;  // Not on the wire: the receiver's driver says whether it has `object`.
  base::ObjectId object;
  std::uint64_t handover = 0;
};
// `peer` is whom it is sent to, or who sent it.
struct Tell {  // Repeated until each statement is answered.
  base::WorkerId peer;
  std::uint64_t floor = 0;  // What is below has been answered, for good.
  std::vector<Statement> statements;
};
struct Answer {
  std::uint64_t seq = 0;
  bool known = true;  // kBorrow: the owner had the object, and counts the sender.
};
struct Told {
  base::WorkerId peer;
  std::vector<Answer> answers;
};

// ---- From the process itself ----------------------------------------------------------------------

// These are held here and will outlive what covered them so far.  Names of our own objects are ignored.
struct Borrow {
  std::vector<RefName> refs;
};
// The last reference in this process to each of these, which were borrowed, is gone.
struct Drop {
  std::vector<RefName> refs;
};
// Answered by Passed once the owners of everything borrowed so far count us.
struct Await {
  std::uint64_t token = 0;
};
// A value came from `from` with these inside; `handover` is its name there.  Borrows them and tells `from` once their
// owners count us.  The same once more changes nothing.
struct TakeOver {
  base::WorkerId from;
  std::uint64_t handover = 0;
  std::vector<RefName> refs;
};
// The process has ended.  `covered`: what is held here only because it held it for us (arguments of its calls).
// Answered by GraceEnded: until then the process keeps what it held for `peer`, arguments of calls to it and what it
// handed over.
struct PeerLost {
  base::WorkerId peer;
  std::vector<RefName> covered;
};

using OwnershipInput = std::variant<Tell, Told, Borrow, Drop, Await, TakeOver, PeerLost>;

// ---- To the process itself ------------------------------------------------------------------------

struct Retain {  // Ours, and others hold it from now on.
  base::ObjectId object;
};
struct LetGo {  // No other process holds it any more.
  base::ObjectId object;
};
struct Unknown {  // The owner had freed it before it heard of us: the reference here is an error from now on.
  RefName ref;
};
struct Passed {
  std::uint64_t token = 0;
};
struct HandedOver {  // What was sent to `peer` in `handover` is held there now.
  base::WorkerId peer;
  std::uint64_t handover = 0;
};

struct GraceEnded {  // Whom the dead process had passed something on to has borrowed it by now.
  base::WorkerId peer;
};

using OwnershipOutput = std::variant<Tell, Told, Retain, LetGo, Unknown, Passed, HandedOver, GraceEnded>;

struct OwnershipLimits {
  std::uint64_t window = 4096;       // Statements to one process that are not answered; more wait their turn.
  std::size_t statements_max = 512;  // In one Tell.
  std::size_t dead_max = 4096;       // Dead processes remembered, so that what they said last is not believed late.
  base::Duration repeat_first = std::chrono::milliseconds(100);
  base::Duration repeat_max = std::chrono::seconds(1);
  // What a dead process had borrowed, or was being passed, stays for this long: whom it had passed it on to hears of
  // the death too, and borrows.  More than a death takes to be known everywhere, and a statement to arrive.
  base::Duration death_grace = std::chrono::seconds(5);
};

}  // namespace mobula::objstore
