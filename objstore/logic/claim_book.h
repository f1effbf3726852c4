#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "objstore/logic/ownership_messages.h"

namespace mobula::objstore {

// The borrower's half: what this process has told, or is about to tell, the owners of what it holds.
//
//            borrow              known                  drop               mark passed           answered
//   (none) ---------> kTelling ---------> kKnown -----------------> kLeaving --------> kReleasing --------> (none)
//                        | unknown           ^                          |                  | borrowed again meanwhile:
//                        v                   +--------------------------+                  v
//                     (none)                       borrowed again                       kTelling
//
// A mark is a point in the order of borrows.  It has passed once every borrow before it is answered; until then nothing
// that was held before it is released, and no call is answered.
class ClaimBook {
 public:
  using Mark = std::uint64_t;

  // What is to be said to the owner, if anything.
  std::optional<Statement::Verb> borrow(const RefName& ref);
  // True: release() it once mark() has passed.
  bool drop(const RefName& ref);
  enum class Release : std::uint8_t {
    kSay,      // Tell the owner.
    kNothing,  // It is held again, or gone.
    kLater,    // It was held again and dropped again: release() it once mark() has passed.
  };
  Release release(const RefName& ref);
  struct Answered {
    std::optional<Statement::Verb> say;
    bool release_later = false;  // Dropped meanwhile: as after drop().
    bool unknown = false;        // Held here, and the owner does not have it.
  };
  Answered answered(const RefName& ref, Statement::Verb verb, bool known);
  void owner_lost(const base::WorkerId& owner);

  Mark mark() const { return next_; }
  bool has_passed(Mark mark) const { return open_.empty() || *open_.begin() >= mark; }
  bool has_open() const { return !open_.empty(); }
  std::size_t size() const;
  std::size_t open_before(Mark mark) const {
    return static_cast<std::size_t>(std::distance(open_.begin(), open_.lower_bound(mark)));
  }
  // What is unanswered, as the sender should have it.
  std::size_t count_unanswered(const base::WorkerId& owner) const;
  bool is_valid() const;

  enum class State : std::uint8_t { kTelling, kKnown, kLeaving, kReleasing };
  struct Claim {
    State state = State::kTelling;
    bool held = true;
    Mark open = 0;        // kTelling, or kReleasing and borrowed again: in open_.
    Mark dropped_at = 0;  // kLeaving.
    bool queued = false;  // release() will be called.
  };
  const std::map<base::WorkerId, std::map<base::ObjectId, Claim>>& all() const { return claims_; }

 private:
  Claim* find(const RefName& ref);
  void erase(const RefName& ref);
  void open(Claim& claim);
  void close(Claim& claim);
  bool leave(Claim& claim);

  std::map<base::WorkerId, std::map<base::ObjectId, Claim>> claims_;  // By owner.
  Mark next_ = 1;
  std::set<Mark> open_;
};

}  // namespace mobula::objstore
