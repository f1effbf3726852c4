#include "core/os/bind.h"

#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>

#include "core/os/error.h"

namespace mobula::os {

using base::Code;
using base::Error;
using base::Result;

Result<void> bind_process(const base::CpuSet& cpus) {
  const std::vector<unsigned> members = cpus.members();
  if (members.empty()) return Error{Code::kInvalid, "no CPU to run on"};
  const std::size_t count = members.back() + 1;
  const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(count), [](cpu_set_t* s) { CPU_FREE(s); });
  const std::size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set.get());
  for (const unsigned cpu : members) CPU_SET_S(cpu, bytes, set.get());
  // A thread that starts meanwhile has its starter's CPUs: look until there is none that is new.
  std::set<pid_t> done;
  for (std::size_t before = 1; done.size() != before;) {
    before = done.size();
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
      const auto thread = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
      if (thread <= 0 || !done.insert(thread).second) continue;
      if (::sched_setaffinity(thread, bytes, set.get()) != 0 && errno != ESRCH) {
        return Error{Code::kInvalid, "CPUs " + cpus.to_string() + " cannot be had: errno " + std::to_string(errno)};
      }
    }
  }
  return {};
}

std::optional<base::CpuSet> allowed_cpus(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  const std::string key = "Cpus_allowed_list:";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    const std::size_t start = line.find_first_not_of(" \t", key.size());
    return base::CpuSet::parse(start == std::string::npos ? "" : line.substr(start));
  }
  return std::nullopt;
}

}  // namespace mobula::os
