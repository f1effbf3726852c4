#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"

// What goes into and comes out of a LineageMachine (lineage.h; docs/protocols/lineage.md).
namespace mobula::objstore {

inline constexpr std::uint32_t kRetriesWithoutEnd = 0xffff'ffffu;

// ---- From the process -----------------------------------------------------------------------------

// A task of ours has ended and left its value, or one of its values, in a store.  `results` are all that it returned
// and that are still referred to here; `needs` are those of its arguments that tasks of ours made and left in a store.
// All other arguments are the process's to keep.
struct Keep {
  base::TaskId task;
  std::vector<base::ObjectId> results;
  std::vector<base::ObjectId> needs;
  std::uint64_t bytes = 0;    // What the process must keep in order to run it again.
  std::uint32_t retries = 0;  // How often it may.
};
// The last reference of this process to a result is gone, and with it all copies.
struct Dropped {
  base::ObjectId object;
};
// Somebody wants the value of this object of ours, and no node is known to have a copy.
struct Lost {
  base::ObjectId object;
};
// A re-run has ended.  Told before its results are looked at: they may be lost again already.
struct Ended {
  base::TaskId task;
  std::uint32_t retries = 0;  // What is left.
};

using LineageInput = std::variant<Keep, Dropped, Lost, Ended>;

// ---- To the process -------------------------------------------------------------------------------

// Run it again, with the same ids.  From now on each of its results has a reference here, until it is Dropped again.
// Those that make the arguments of others come before them.  Answered by Ended.
struct Rerun {
  base::TaskId task;
  std::uint32_t retries = 0;  // How often it may run once more after this.
};
// The object will have no value any more, because `culprit`, itself or something that it is made from, cannot be made.
struct Hopeless {
  enum class Why : std::uint8_t {
    kNotMade,    // No task of ours made it: it was put, or its task's lineage is long gone.
    kNoRetries,  // Its task has been run as often as it may.
    kNoLineage,  // What its task needs was let go of, since there was more than bytes_max.
  };
  base::ObjectId object;
  Why why = Why::kNotMade;
  base::ObjectId culprit;
};
// What the task needs to run again is not needed any more.
struct LetLineageGo {
  enum class Why : std::uint8_t { kUnneeded, kNoRoom };
  base::TaskId task;
  Why why = Why::kUnneeded;
};

using LineageOutput = std::variant<Rerun, Hopeless, LetLineageGo>;

struct LineageLimits {
  std::uint64_t bytes_max = 1ull << 30;  // Of all that is kept to run tasks again; the oldest goes first.
};

}  // namespace mobula::objstore
