#include "core/os/affinity.h"

#include <sched.h>

#include <cerrno>
#include <cstddef>
#include <memory>

#include "core/os/current_cpu.h"
#include "core/os/error.h"

namespace mobula::os {
namespace {

constexpr std::size_t kCpusMax = 65'536;

using CpuSet = std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)>;
CpuSet make_set(std::size_t cpus) {
  return {CPU_ALLOC(cpus), [](cpu_set_t* set) { CPU_FREE(set); }};
}

}  // namespace

std::vector<std::uint32_t> cpus_allowed() {
  std::vector<std::uint32_t> out;
  for (std::size_t cpus = 1024; cpus <= kCpusMax; cpus *= 2) {
    const CpuSet set = make_set(cpus);
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set.get());
    if (::sched_getaffinity(0, bytes, set.get()) != 0) continue;  // The kernel's set is larger.
    for (std::size_t cpu = 0; cpu < cpus; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set.get())) out.push_back(static_cast<std::uint32_t>(cpu));
    }
    break;
  }
  return out;
}

base::Result<void> allow_cpus(const std::vector<std::uint32_t>& cpus) {
  const CpuSet set = make_set(kCpusMax);
  const std::size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  CPU_ZERO_S(bytes, set.get());
  for (const std::uint32_t cpu : cpus) {
    if (cpu < kCpusMax) CPU_SET_S(cpu, bytes, set.get());
  }
  if (::sched_setaffinity(0, bytes, set.get()) != 0) return error_from_errno(errno, "sched_setaffinity");
  return {};
}

bool leave_current_cpu() {
  const std::vector<std::uint32_t> all = cpus_allowed();
  std::vector<std::uint32_t> others = all;
  std::erase(others, current_cpu());
  if (others.empty() || !allow_cpus(others)) return false;
  (void)allow_cpus(all)
      .ok();  // It fails only where the cgroup lost them in between, and the kernel has seen to it then.
  return true;
}

}  // namespace mobula::os
