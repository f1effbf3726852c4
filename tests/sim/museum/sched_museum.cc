#include "tests/sim/museum/sched_museum.h"

#include "scheduler/planted.h"
#include "tests/sim/sched_world.h"

namespace mobula::sim {

using scheduler::Mistake;

namespace {

constexpr SchedExhibit kExhibits[] = {
    {Mistake::kDemandSentOnce, "demand sent once", 1},
    {Mistake::kReturnSentOnce, "return sent once", 1},
    {Mistake::kGrantSentOnce, "grant sent once", 16},
    {Mistake::kPeerReturnSentOnce, "peer return sent once", 3},
    {Mistake::kBlockedKeepsItsCpu, "blocked keeps its cpu", 1},
    {Mistake::kHalfCommitted, "half committed", 16},
    {Mistake::kAttemptNotReleased, "attempt not released", 17},
    {Mistake::kOwnerDeathForgotten, "leases outlive their owner", 1},
    {Mistake::kDeadHomeForgotten, "leases outlive their home", 3},
    {Mistake::kSameIncarnation, "same incarnation", 10},
    {Mistake::kRoomNotChecked, "room not checked", 1},
    {Mistake::kDeathsReturnNothing, "deaths return nothing", 3},
    {Mistake::kReleaseKillsNobody, "release kills nobody", 10},
};
static_assert(std::size(kExhibits) + 1 == static_cast<std::size_t>(Mistake::kCount));

}  // namespace

std::span<const SchedExhibit> sched_exhibits() { return kExhibits; }

std::string run_planted(Mistake mistake, std::uint64_t seed) {
  scheduler::planted_mistake = mistake;
  World world({.seed = seed, .ask_machines = false});
  world.run();
  scheduler::planted_mistake = Mistake::kNone;
  return world.oracle().violations().empty() ? std::string() : world.oracle().violations().front();
}

}  // namespace mobula::sim
