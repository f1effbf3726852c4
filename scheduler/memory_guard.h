#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"

namespace mobula::scheduler {

// A node's memory, or that of the control group that it lives in.
struct MemoryLook {
  std::uint64_t limit = 0;
  std::uint64_t used = 0;
};

// A worker that may be ended.
struct MemoryUser {
  base::WorkerId worker;
  base::WorkerId owner;    // Whose task or actor runs there; nil: nobody's, it is idle.
  bool retriable = false;  // What runs there is run again.
  base::Time since{};      // When its owner got it.
  std::uint64_t bytes = 0;
};

struct MemoryVictim {
  base::WorkerId worker;
  std::string why;  // A sentence with the numbers.
};

struct MemoryGuardLimits {
  std::uint32_t percent = 95;                              // Of the limit that may be in use; 0: no guard.
  std::uint64_t free_max = std::uint64_t{4} << 30;         // More than this need never be free.
  base::Duration settle = std::chrono::milliseconds(500);  // For the memory of the last one to come back.
};

// Chooses which worker ends before the kernel's OOM killer chooses one for us, or the raylet: idle ones first, then the
// newest of those that are run again, of the owner that has most memory; those that are not run again last.  One at a
// time: the next only when the memory of the last one has come back, or has had time to.
class MemoryGuard {
 public:
  explicit MemoryGuard(MemoryGuardLimits limits) : limits_(limits) {}

  bool is_short(const MemoryLook& look) const;
  // `users` is what is_short() asks for.
  std::optional<MemoryVictim> choose(base::Time now, const MemoryLook& look, const std::vector<MemoryUser>& users);

 private:
  const MemoryGuardLimits limits_;
  std::optional<base::Time> last_;
};

}  // namespace mobula::scheduler
