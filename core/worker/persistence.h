#pragma once

#include <optional>

#include "core/base/bytes.h"
#include "core/base/error_info.h"

namespace mobula::runtime {

// How an actor's state becomes bytes and comes back; null where its class says nothing of it.  Each runs the user's
// code, without any lock, and gives what that threw.
struct Persistence {
  std::optional<base::ErrorInfo> (*save)(void* instance, base::Buffer& out) = nullptr;
  std::optional<base::ErrorInfo> (*load)(void* instance, base::ConstBytes state) = nullptr;
};

}  // namespace mobula::runtime
