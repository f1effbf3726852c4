#pragma once

#include <cstdint>
#include <optional>

#include "core/base/machine.h"
#include "core/worker/runtime.h"
#include "mobula/options.h"

namespace mobula::detail {

// The runtime, for one call: InSession()->put(...).  Throws InvalidArgument where there is none.
class InSession {
 public:
  InSession();
  runtime::Runtime* operator->() const { return &*use_; }
  runtime::Runtime& operator*() const { return *use_; }

 private:
  const runtime::RuntimeUse use_;
};

// Counts the sessions of this process from 1: what belongs to one runtime is not used with another.
std::uint64_t session_number();
void begin_session();

// The point in time at which a wait that starts now is over; nullopt: never.
std::optional<base::Time> deadline_of(TimeLimit limit);

}  // namespace mobula::detail
