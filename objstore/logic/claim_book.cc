#include "objstore/logic/claim_book.h"

#include <utility>

#include "objstore/logic/planted.h"

namespace mobula::objstore {

using Verb = Statement::Verb;

ClaimBook::Claim* ClaimBook::find(const RefName& ref) {
  const auto owner = claims_.find(ref.owner);
  if (owner == claims_.end()) return nullptr;
  const auto claim = owner->second.find(ref.object);
  return claim == owner->second.end() ? nullptr : &claim->second;
}

void ClaimBook::erase(const RefName& ref) {
  const auto owner = claims_.find(ref.owner);
  owner->second.erase(ref.object);
  if (owner->second.empty()) claims_.erase(owner);
}

void ClaimBook::open(Claim& claim) {
  claim.open = next_++;
  open_.insert(claim.open);
}

void ClaimBook::close(Claim& claim) {
  if (planted(Mistake::kPassedAtFirstAnswer)) open_.clear();
  open_.erase(claim.open);
  claim.open = 0;
}

std::optional<Verb> ClaimBook::borrow(const RefName& ref) {
  Claim* claim = find(ref);
  if (claim == nullptr) {
    open(claims_[ref.owner][ref.object]);
    return Verb::kBorrow;
  }
  if (claim->held) return std::nullopt;
  if (claim->state == State::kLeaving && planted(Mistake::kBorrowWhileLeavingLost)) return std::nullopt;
  if (claim->state == State::kReleasing && planted(Mistake::kBorrowWhileReleasingLost)) return std::nullopt;
  claim->held = true;
  if (claim->state == State::kLeaving) claim->state = State::kKnown;
  if (claim->state == State::kReleasing && claim->open == 0) open(*claim);  // Told anew once the release is answered.
  return std::nullopt;
}

bool ClaimBook::drop(const RefName& ref) {
  Claim* claim = find(ref);
  if (claim == nullptr || !claim->held) return false;
  if (claim->state == State::kTelling && planted(Mistake::kDropWhileTellingLost)) return false;
  claim->held = false;
  // In kReleasing, a borrow that is due stays due: a reply that waits for it holds what was read out of the object.
  return claim->state == State::kKnown && leave(*claim);
}

bool ClaimBook::leave(Claim& claim) {
  claim.state = State::kLeaving;
  claim.dropped_at = next_;
  return !std::exchange(claim.queued, true);
}

ClaimBook::Release ClaimBook::release(const RefName& ref) {
  Claim* claim = find(ref);
  if (claim == nullptr) return Release::kNothing;
  if (claim->state == State::kLeaving && !has_passed(claim->dropped_at) && !planted(Mistake::kReleaseDoesNotWait)) {
    return Release::kLater;
  }
  claim->queued = false;
  if (claim->state != State::kLeaving) return Release::kNothing;
  claim->state = State::kReleasing;
  return Release::kSay;
}

ClaimBook::Answered ClaimBook::answered(const RefName& ref, Verb verb, bool known) {
  Claim* claim = find(ref);
  if (claim == nullptr) return {};
  if (verb == Verb::kBorrow && claim->state == State::kTelling) {
    close(*claim);
    if (!known) {
      const bool held = claim->held;
      erase(ref);
      return {.unknown = held};
    }
    claim->state = State::kKnown;
    return {.release_later = !claim->held && leave(*claim)};
  }
  if (verb == Verb::kRelease && claim->state == State::kReleasing) {
    if (claim->open == 0) {
      erase(ref);
      return {};
    }
    claim->state = State::kTelling;
    return {.say = Verb::kBorrow};
  }
  return {};
}

void ClaimBook::owner_lost(const base::WorkerId& owner) {
  const auto claims = claims_.find(owner);
  if (claims == claims_.end()) return;
  for (auto& [object, claim] : claims->second) {
    if (claim.open != 0) close(claim);
  }
  claims_.erase(claims);
}

std::size_t ClaimBook::size() const {
  std::size_t n = 0;
  for (const auto& [owner, claims] : claims_) n += claims.size();
  return n;
}

std::size_t ClaimBook::count_unanswered(const base::WorkerId& owner) const {
  const auto claims = claims_.find(owner);
  if (claims == claims_.end()) return 0;
  std::size_t n = 0;
  for (const auto& [object, claim] : claims->second) {
    n += claim.state == State::kTelling || claim.state == State::kReleasing;
  }
  return n;
}

bool ClaimBook::is_valid() const {
  std::size_t open = 0;
  for (const auto& [owner, claims] : claims_) {
    if (claims.empty()) return false;
    for (const auto& [object, claim] : claims) {
      const bool is_open = claim.open != 0;
      if (is_open && !open_.contains(claim.open)) return false;
      if (is_open ? claim.state == State::kKnown || claim.state == State::kLeaving : claim.state == State::kTelling) {
        return false;
      }
      if (claim.state == State::kReleasing && claim.held && !is_open) return false;
      if (claim.state == State::kKnown && !claim.held) return false;
      if (claim.state == State::kLeaving && claim.held) return false;
      open += is_open;
    }
  }
  return open == open_.size();
}

}  // namespace mobula::objstore
