#include "core/raylet/use_meter.h"

#include <algorithm>
#include <utility>

#include "core/os/process_use.h"

namespace mobula::raylet {

void UseMeter::look(base::Time now, const std::vector<Worker>& workers) {
  std::map<pid_t, const Worker*> by_pid;
  for (const Worker& worker : workers) {
    if (worker.pid > 0) by_pid[worker.pid] = &worker;
  }
  std::erase_if(known_, [&](const auto& entry) { return !by_pid.contains(entry.first); });
  cpus_now_ = 0;
  for (const auto& [pid, worker] : by_pid) {
    const auto cpu_time = os::read_cpu_time(pid);
    if (!cpu_time) continue;
    const bool is_new = !known_.contains(pid);
    Known& known = known_[pid];
    const Known before = std::exchange(known, {*cpu_time, now, known.bytes});
    if (is_new || now <= before.at) continue;
    const double seconds = std::chrono::duration<double>(now - before.at).count();
    const double used = std::chrono::duration<double>(known.cpu_time - before.cpu_time).count();
    cpus_now_ += used / seconds;
    if (worker->what.empty()) continue;
    const bool fits = uses_.contains(worker->what) || uses_.size() < kKindsMax;
    Use& use = uses_[fits ? worker->what : "others"];
    use.seconds += seconds;
    use.asked_cpu_s += worker->asked.get("cpus").value() * seconds;
    use.used_cpu_s += used;
    use.asked_bytes = static_cast<std::uint64_t>(std::max(0.0, worker->asked.get("memory").value()));
    use.most_bytes = std::max(use.most_bytes, known.bytes);
  }
  auto next = by_pid.upper_bound(read_after_);
  for (std::size_t n = 0; n < std::min(kMemoryReadsPerLook, by_pid.size()); ++n, ++next) {
    if (next == by_pid.end()) next = by_pid.begin();
    read_after_ = next->first;
    if (const auto bytes = os::read_memory_use(next->first)) known_[next->first].bytes = *bytes;
  }
}

std::uint64_t UseMeter::bytes_now() const {
  std::uint64_t sum = 0;
  for (const auto& [pid, known] : known_) sum += known.bytes;
  return sum;
}

}  // namespace mobula::raylet
