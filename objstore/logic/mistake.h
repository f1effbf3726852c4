#pragma once

#include <cstdint>

namespace mobula::objstore {

// Known ways to get ownership and lineage wrong: what the museum plants, to see that the simulator finds it.
enum class Mistake : std::uint8_t {
  kNone,
  kReleaseSentOnce,           // Not repeated when it is lost.
  kBorrowSentOnce,            // Likewise.
  kHeldSentOnce,              // Likewise.
  kAnswerGivenOnce,           // A repeated statement is not answered again.
  kNoTombstone,               // A late copy of what was answered long ago is done again.
  kMergeNotIdempotent,        // A second copy is done again.
  kFloorTooHigh,              // Says that what is not answered yet has been.
  kAnswerForAnyStatement,     // A late answer is taken for that of the oldest statement.
  kBeyondTheWindowLost,       // What has no room in the window is forgotten.
  kReleaseDoesNotWait,        // Released before the owners of what was inside know us.
  kReplyDoesNotWait,          // Answered before the owners know us.
  kHeldDoesNotWait,           // The sender lets go before the owners know us.
  kPassedAtFirstAnswer,       // One answer is taken for all.
  kDropWhileTellingLost,      // Dropped before the owner has answered: never released.
  kBorrowWhileLeavingLost,    // Held again while the release waits: released all the same.
  kBorrowWhileReleasingLost,  // Held again while the release is under way: the owner never hears.
  kFreedAtFirstRelease,       // One borrower's release is taken for all.
  kDeathFreesAtOnce,          // A borrower's death before who got it from there has reported.
  kDeathFreesNothing,         // What the dead had borrowed stays for ever.
  kGraceNeverEnds,            // Likewise: its end is not looked for.
  kCoveredForgotten,          // The caller's death leaves its arguments held by nobody.
  kDeadAreBelieved,           // A late borrow of a dead process is taken as new.
  kOwnerDeathForgotten,       // Goes on waiting for the dead owner's answer.

  // Of lineage.
  kSecondLossSwallowed,        // The end of a re-run is not noted: what is lost after it is taken as under way.
  kArgumentsNotMadeAgain,      // A task runs again without those whose values it needs.
  kMakersLast,                 // A task runs again before those whose values it needs.
  kRunsTwiceAtOnce,            // A second word of the loss runs it a second time.
  kRetriesNotCounted,          // Runs again without end.
  kLineageDiesWithItsResults,  // What others are made from is forgotten with its last reference.
  kLineageNeverForgotten,      // Is kept when nobody can want it any more.
  kLineageWithoutBound,        // Nothing is let go of when there is too much.
  kHopelessNotTold,            // Whoever waits for it waits without end.
  kCount,
};

}  // namespace mobula::objstore
