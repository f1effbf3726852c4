#pragma once

#include <string>

#include "core/base/error_info.h"
#include "core/base/proto/control.pb.h"
#include "scheduler/actor_messages.h"

namespace mobula::gcs {

// What callers of a dead actor are told: why it died, with the evidence of its worker's end.
// `nearest` is the name of the node that came nearest to serving it; empty: none did.
base::ErrorInfo actor_error(const scheduler::ActorView& view, const proto::ActorSpec& spec, const std::string& nearest);

}  // namespace mobula::gcs
