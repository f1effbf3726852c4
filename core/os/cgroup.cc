#include "core/os/cgroup.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace mobula::os {
namespace {

// Version 1 writes the largest multiple of a page for "no limit".
constexpr std::uint64_t kUnlimited = std::uint64_t{1} << 60;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> read_number(const std::string& path) { return parse_number(read_file(path)); }

// The value behind `key` in a file of "key value" lines.
std::optional<std::int64_t> find_stat(const std::string& path, std::string_view key) {
  std::istringstream lines(read_file(path));
  std::string name;
  std::string value;
  while (lines >> name >> value) {
    if (name == key) return parse_number(value);
  }
  return std::nullopt;
}

std::int64_t read_stat(const std::string& path, std::string_view key) { return find_stat(path, key).value_or(0); }

std::optional<std::uint64_t> positive(std::optional<std::int64_t> number) {
  return number && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number)) : std::nullopt;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) out.push_back(part);
  return out;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

struct Mount {
  std::string group;  // The group that is mounted there.
  std::string point;
};

// The mount of a controller; of version 2 when `controller` is empty.  Lines of mountinfo:
// id parent major:minor root mount_point options [optional...] - type source super_options
std::optional<Mount> find_mount(const std::string& root, const std::string& controller) {
  std::istringstream lines(read_file(root + "/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split(line.substr(0, dash), ' ');
    const auto after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool match =
        controller.empty() ? after[0] == "cgroup2" : after[0] == "cgroup" && contains(split(after[2], ','), controller);
    if (match) return Mount{before[3], before[4]};
  }
  return std::nullopt;
}

// Our group for a controller.  Lines of cgroup: id:controller,controller:path, and 0::path for version 2.
std::optional<std::string> find_group(const std::string& root, const std::string& controller) {
  for (const auto& line : split(read_file(root + "/proc/self/cgroup"), '\n')) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : contains(split(names, ','), controller)) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The folders of our group and of those above it, as far as they are mounted here.
std::vector<std::string> folders(const std::string& root, const std::string& controller) {
  const auto mount = find_mount(root, controller);
  const auto group = find_group(root, controller);
  if (!mount || !group) return {};
  std::string below = *group;
  if (mount->group != "/") {  // A container: its mount shows a part of the tree.
    const bool inside = below.starts_with(mount->group);
    below = inside ? below.substr(mount->group.size()) : "";
  }
  while (below.ends_with('/')) below.pop_back();
  std::vector<std::string> out;
  for (;;) {
    out.push_back(root + mount->point + below);
    const auto slash = below.rfind('/');
    if (slash == std::string::npos) return out;
    below.resize(slash);
  }
}

template <class T>
void keep_smaller(std::optional<T>& kept, T value) {
  if (!kept || value < *kept) kept = value;
}

void add_quota(CgroupLimits& out, std::optional<std::int64_t> quota, std::optional<std::int64_t> period) {
  if (quota && period && *quota > 0 && *period > 0) {
    keep_smaller(out.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
  }
}

// Names of the files of a memory controller.
struct MemoryFiles {
  const char* limit;
  const char* usage;
  const char* droppable;  // A key of memory.stat.
};
constexpr MemoryFiles kVersion1{"/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file"};
constexpr MemoryFiles kVersion2{"/memory.max", "/memory.current", "inactive_file"};

// A group without a limit is asked no more: for memory.stat the kernel sums up all CPUs under a lock, half a
// millisecond on a busy machine.
void add_memory(CgroupLimits& out, const std::string& folder, const MemoryFiles& files) {
  const auto limit = read_number(folder + files.limit);
  if (!limit || *limit < 0 || static_cast<std::uint64_t>(*limit) >= kUnlimited) return;
  keep_smaller(out.memory_limit_bytes, static_cast<std::uint64_t>(*limit));
  const auto usage = read_number(folder + files.usage);
  if (!usage) return;
  const std::int64_t used = std::max<std::int64_t>(0, *usage - read_stat(folder + "/memory.stat", files.droppable));
  keep_smaller(out.memory_free_bytes, static_cast<std::uint64_t>(std::max<std::int64_t>(0, *limit - used)));
}

}  // namespace

CgroupLimits read_cgroups(const std::string& root) {
  CgroupLimits out;
  for (const auto& folder : folders(root, "cpu")) {
    add_quota(out, read_number(folder + "/cpu.cfs_quota_us"), read_number(folder + "/cpu.cfs_period_us"));
  }
  for (const auto& folder : folders(root, "memory")) {
    add_memory(out, folder, kVersion1);
  }
  for (const auto& folder : folders(root, "")) {
    const auto cpu = split(read_file(folder + "/cpu.max"), ' ');  // "max 100000" or "150000 100000".
    if (cpu.size() == 2) add_quota(out, parse_number(cpu[0]), parse_number(cpu[1]));
    add_memory(out, folder, kVersion2);
  }
  return out;
}

std::optional<OomKills> read_oom_kills(const std::string& root) {
  // Version 1 counts in the group of whoever is killed, version 2 in all above it too.
  const auto v1 = folders(root, "memory");
  const auto v2 = folders(root, "");
  OomKills out;
  const auto take = [&](const std::string& source, std::string_view key) {
    const auto kills = positive(find_stat(source, key));
    if (!kills) return false;
    out.kills = *kills;
    out.source = source;
    return true;
  };
  if (!v1.empty() && take(v1[0] + "/memory.oom_control", "oom_kill")) {
    out.limit_hits = positive(read_number(v1[0] + "/memory.failcnt"));
    out.most_used_bytes = positive(read_number(v1[0] + "/memory.max_usage_in_bytes"));
  } else if (!v2.empty() && take(v2[0] + "/memory.events", "oom_kill")) {
    out.limit_hits = positive(find_stat(v2[0] + "/memory.events", "max"));
    out.most_used_bytes = positive(read_number(v2[0] + "/memory.peak"));
  } else if (!take(root + "/proc/vmstat", "oom_kill")) {
    return std::nullopt;
  }
  out.limit_bytes = read_cgroups(root).memory_limit_bytes;
  return out;
}

std::optional<PidsLimit> read_pids_limit(const std::string& root) {
  std::optional<PidsLimit> least;
  for (const char* controller : {"pids", ""}) {
    for (const auto& folder : folders(root, controller)) {
      const auto limit = positive(read_number(folder + "/pids.max"));  // "max" is no number.
      const auto used = positive(read_number(folder + "/pids.current"));
      if (!limit || !used) continue;
      const auto room = [](const PidsLimit& l) { return l.limit - std::min(l.limit, l.used); };
      PidsLimit found{*limit, *used, folder + "/pids.max"};
      if (!least || room(found) < room(*least)) least = std::move(found);
    }
  }
  return least;
}

std::string describe_no_process(int error_number, const std::string& root) {
  const char* name = ::strerrorname_np(error_number);
  std::string text = std::generic_category().message(error_number) + " (" + (name == nullptr ? "?" : name) + ")";
  if (error_number != EAGAIN) return text;
  if (const auto pids = read_pids_limit(root)) {
    text += "; " + std::to_string(pids->used) + " of " + std::to_string(pids->limit) +
            " processes and threads in use (" + pids->source + ")";
  }
  rlimit user{};
  if (::getrlimit(RLIMIT_NPROC, &user) == 0 && user.rlim_cur != RLIM_INFINITY) {
    text += "; the user may have " + std::to_string(user.rlim_cur) + " (ulimit -u)";
  }
  return text;
}

}  // namespace mobula::os
