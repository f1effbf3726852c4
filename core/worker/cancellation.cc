#include "core/worker/cancellation.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mobula::runtime {

void Cancellation::cancel(Task& task, Force force, Reach reach) {
  const bool by_force = force == Force::kYes;
  const bool recursive = reach == Reach::kChildren;
  if (task.actor != nullptr) {
    actors_.cancel(task, by_force, recursive);
  } else {
    submitter_.cancel(task, by_force, recursive);
  }
}

void Cancellation::cancel_children(const CallScope& parent, Force force) {
  std::vector<base::TaskId> ids;
  ids.reserve(parent.children);
  const base::TaskId origin = origin_of(parent);
  for (std::uint64_t n = 1; n <= parent.children; ++n) ids.push_back(base::derive<base::TaskId>(origin, n));
  std::ranges::sort(ids);
  std::vector<std::uint64_t> children;  // By handle: the end of one may be the end of another.
  tasks_.each_live([&](Task& task) {
    const bool constructs = !task.result;  // A constructor has no result: its actor is no call.
    if (!constructs && !task.cancelled && std::ranges::binary_search(ids, task.id)) children.push_back(task.handle());
  });
  for (const std::uint64_t handle : children) {
    if (Task* task = tasks_.find(handle)) cancel(*task, force, Reach::kChildren);
  }
}

}  // namespace mobula::runtime
