#pragma once

#include <cstdint>

namespace mobula::scheduler {

// Known ways to get scheduling wrong: what the museum plants, to see that the simulator finds it.
enum class Mistake : std::uint8_t {
  kNone,
  kDemandSentOnce,       // Not repeated when it is lost.
  kReturnSentOnce,       // Likewise.
  kGrantSentOnce,        // Likewise.
  kPeerReturnSentOnce,   // Likewise, from raylet to raylet.
  kBlockedKeepsItsCpu,   // A task that waits in get lends nothing.
  kHalfCommitted,        // Bundles are used before all of their group are there.
  kAttemptNotReleased,   // What was prepared in an attempt that failed stays.
  kOwnerDeathForgotten,  // Leases outlive their owner.
  kDeadHomeForgotten,    // And its node.
  kSameIncarnation,      // A restarted actor is taken for the one that died.
  kRoomNotChecked,       // More runs than there is.
  kDeathsReturnNothing,  // What a dead worker held is never free again.
  kReleaseKillsNobody,   // Who is inside a bundle goes on when it is given up.
  kCount,
};

}  // namespace mobula::scheduler
