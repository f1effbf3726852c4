#include "tests/sim/museum/museum.h"

#include "objstore/logic/planted.h"
#include "tests/sim/lineage_world.h"
#include "tests/sim/own_world.h"

namespace mobula::sim {

using objstore::Mistake;

namespace {

constexpr Exhibit kExhibits[] = {
    {Mistake::kReleaseSentOnce, "release sent once", 3},
    {Mistake::kBorrowSentOnce, "borrow sent once", 3},
    {Mistake::kHeldSentOnce, "held sent once", 1},
    {Mistake::kAnswerGivenOnce, "answer given once", 3},
    {Mistake::kNoTombstone, "no tombstone", 6},
    {Mistake::kMergeNotIdempotent, "merge not idempotent", 443},
    {Mistake::kFloorTooHigh, "floor too high", 1},
    {Mistake::kAnswerForAnyStatement, "answer for any statement", 3},
    {Mistake::kBeyondTheWindowLost, "beyond the window lost", 3},
    {Mistake::kReleaseDoesNotWait, "release does not wait", 81},
    {Mistake::kReplyDoesNotWait, "reply does not wait", 3},
    {Mistake::kHeldDoesNotWait, "held does not wait", 8},
    {Mistake::kPassedAtFirstAnswer, "passed at first answer", 7},
    {Mistake::kDropWhileTellingLost, "drop while telling lost", 1},
    {Mistake::kBorrowWhileLeavingLost, "borrow while leaving lost", 20},
    {Mistake::kBorrowWhileReleasingLost, "borrow while releasing lost", 55},
    {Mistake::kFreedAtFirstRelease, "freed at first release", 2},
    {Mistake::kDeathFreesAtOnce, "death frees at once", 28},
    {Mistake::kDeathFreesNothing, "death frees nothing", 1},
    {Mistake::kGraceNeverEnds, "grace never ends", 1},
    {Mistake::kCoveredForgotten, "covered forgotten", 28},
    {Mistake::kDeadAreBelieved, "dead are believed", 68},
    {Mistake::kOwnerDeathForgotten, "owner death forgotten", 1},
    {Mistake::kSecondLossSwallowed, "second loss swallowed", 1},
    {Mistake::kArgumentsNotMadeAgain, "arguments not made again", 1},
    {Mistake::kMakersLast, "makers last", 1},
    {Mistake::kRunsTwiceAtOnce, "runs twice at once", 1},
    {Mistake::kRetriesNotCounted, "retries not counted", 1},
    {Mistake::kLineageDiesWithItsResults, "lineage dies with its results", 1},
    {Mistake::kLineageNeverForgotten, "lineage never forgotten", 1},
    {Mistake::kLineageWithoutBound, "lineage without bound", 2},
    {Mistake::kHopelessNotTold, "hopeless not told", 1},
};
static_assert(std::size(kExhibits) + 1 == static_cast<std::size_t>(Mistake::kCount));

}  // namespace

std::span<const Exhibit> exhibits() { return kExhibits; }

std::string run_planted(const Exhibit& exhibit, Mistake mistake, std::uint64_t seed) {
  const auto first_violation = [&](auto&& world) {
    objstore::planted_mistake = mistake;
    world.run();
    objstore::planted_mistake = Mistake::kNone;
    return world.violations().empty() ? std::string() : world.violations().front();
  };
  if (exhibit.mistake < Mistake::kSecondLossSwallowed) {
    return first_violation(OwnWorld({.seed = seed, .ask_machines = false}));
  }
  return first_violation(LineageWorld({.seed = seed, .ask_machines = false}));
}

}  // namespace mobula::sim
