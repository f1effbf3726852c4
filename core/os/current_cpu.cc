#include "core/os/current_cpu.h"

#include <sched.h>

namespace mobula::os {

unsigned current_cpu() {
  const int cpu = ::sched_getcpu();
  return cpu < 0 ? 0 : static_cast<unsigned>(cpu);
}

}  // namespace mobula::os
