#pragma once

#include "core/base/proto/control.pb.h"
#include "core/worker/runtime.h"

namespace mobula::runtime {

// What a process says of its tasks' and actors' needs.
void fill(proto::ResourceSet& to, const base::Resources& from);
void fill(proto::Strategy& to, const Strategy& from, const base::PlacementGroupId& group, int bundle);

}  // namespace mobula::runtime
