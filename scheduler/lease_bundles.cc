// What the GCS reserves on this node for placement groups.

#include <utility>

#include "scheduler/lease_state.h"

namespace mobula::scheduler {

void LeaseMachine::State::on(base::Time, GroupNews&& event, Out&) { view.apply(event); }

void LeaseMachine::State::on(base::Time now, PrepareBundles&& event, Out& out) {
  const auto fate = holds.receive(event.request, event.floor);
  if (fate == base::RequestReceiver::Fate::kStale || fate == base::RequestReceiver::Fate::kBeyond) return;
  if (seats.holds(event.hold) ||
      (fate == base::RequestReceiver::Fate::kNew && seats.prepare(event.hold, event.group, event.bundles))) {
    out.emplace_back(BundlesPrepared{self.node, event.hold});
    return;
  }
  const NodeRoom& pieces = seats.pieces();
  out.emplace_back(BundlesRefused{self.node, event.hold, "a node's room was taken by others meanwhile",
                                  seats.available(), pieces.free_pus(), pieces.gpu_room()});
  if (fate != base::RequestReceiver::Fate::kNew) return;
  // It will ask again in a moment: what others hold longest may be free by then.
  base::Resources wanted;
  for (const HeldBundle& b : event.bundles) wanted.add(b.shape);
  recall_for(now, {{}, {}, kPriorityMax, kPriorityMax}, wanted, {}, out);
}

void LeaseMachine::State::on(base::Time, CommitBundles&& event, Out& out) {
  if (!seats.holds(event.hold)) return;  // Released; the GCS knows better by now.
  seats.commit(event.hold);
  out.emplace_back(BundlesCommitted{self.node, event.hold});
}

void LeaseMachine::State::on(base::Time, ReleaseBundles&& event, Out& out) {
  if (event.request != 0) holds.receive(event.request, event.floor);
  seats.drop(event.hold, out);
  out.emplace_back(BundlesReleased{self.node, event.hold});
}

}  // namespace mobula::scheduler
