#include "core/os/process_use.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace mobula::os {
namespace {

std::string folder(pid_t pid, const std::string& root) { return root + "/proc/" + std::to_string(pid); }

// Of /proc/PID/statm: size, resident, shared, ... in pages.
std::optional<std::pair<std::uint64_t, std::uint64_t>> resident_and_shared(pid_t pid, const std::string& root) {
  std::ifstream file(folder(pid, root) + "/statm");
  std::uint64_t size = 0, resident = 0, shared = 0;
  if (!(file >> size >> resident >> shared)) return std::nullopt;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return std::pair(resident * page, shared * page);
}

}  // namespace

std::optional<std::chrono::nanoseconds> read_cpu_time(pid_t pid, const std::string& root) {
  std::ifstream file(folder(pid, root) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // pid (name) state ...: the name may hold anything, parentheses too.  utime and stime are fields 14 and 15.
  const auto end = line.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(end + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  std::uint64_t user = 0, system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  const auto tick = std::chrono::nanoseconds(std::chrono::seconds(1)) / ::sysconf(_SC_CLK_TCK);
  return static_cast<std::int64_t>(user + system) * tick;
}

std::optional<std::uint64_t> read_memory_use(pid_t pid, const std::string& root) {
  std::ifstream file(folder(pid, root) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kib = 0;
    if (words >> name >> kib && name == "Pss:") return kib << 10;
  }
  const auto pages = resident_and_shared(pid, root);
  return pages ? std::optional(pages->first) : std::nullopt;
}

std::optional<std::uint64_t> read_private_memory(pid_t pid, const std::string& root) {
  const auto pages = resident_and_shared(pid, root);
  if (!pages) return std::nullopt;
  return pages->first > pages->second ? pages->first - pages->second : 0;
}

}  // namespace mobula::os
