#include "core/os/host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <utility>

#include "core/os/cgroup.h"

namespace mobula::os {
namespace {

constexpr std::size_t kCpusMax = 65'536;

unsigned cpus_in_affinity() {
  for (std::size_t cpus = 1024; cpus <= kCpusMax; cpus *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(cpus), [](cpu_set_t* s) { CPU_FREE(s); });
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set.get());
    if (::sched_getaffinity(0, bytes, set.get()) == 0) return static_cast<unsigned>(CPU_COUNT_S(bytes, set.get()));
  }
  return 1;
}

std::uint64_t meminfo_bytes(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kib = 0;
  while (file >> name >> kib) {
    if (name == key) return kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::numeric_limits<std::uint64_t>::max();
}

// "ipc:[4026531839]" becomes "4026531839".
std::string namespace_inode(const std::string& name) {
  std::array<char, 64> link;
  const ssize_t n = ::readlink(("/proc/self/ns/" + name).c_str(), link.data(), link.size());
  std::string out;
  for (ssize_t i = 0; i < n; ++i) {
    const char c = link[static_cast<std::size_t>(i)];
    if (c >= '0' && c <= '9') out += c;
  }
  return out;
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) return "localhost";
  return name.data();
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  for (const char* name : {"ipc", "pid", "mnt", "net"}) id += "." + namespace_inode(name);
  return id;
}

unsigned cpus_available() {
  const unsigned cpus = cpus_in_affinity();
  const auto quota = read_cgroups().cpus;
  if (!quota) return std::max(1u, cpus);
  // Rounded down: more busy threads than the quota are all stopped for the rest of each period.
  return std::max(1u, std::min(cpus, static_cast<unsigned>(std::floor(*quota))));
}

std::uint64_t memory_limit_bytes() {
  const std::uint64_t machine = meminfo_bytes("MemTotal:");
  return std::min(machine, read_cgroups().memory_limit_bytes.value_or(machine));
}

std::uint64_t memory_available_bytes() {
  const std::uint64_t machine = meminfo_bytes("MemAvailable:");
  return std::min(machine, read_cgroups().memory_free_bytes.value_or(machine));
}

std::vector<std::string> ip_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<std::pair<int, std::string>> ranked;  // 0: IPv4, 1: IPv6, 2 and 3: the same of loopback.
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    const int family = at->ifa_addr->sa_family;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* address = nullptr;
    if (family == AF_INET) {
      address = &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    } else if (family == AF_INET6) {
      const auto* v6 = &reinterpret_cast<const sockaddr_in6*>(at->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(v6)) continue;  // Means nothing on another host.
      address = v6;
    }
    if (address == nullptr || ::inet_ntop(family, address, text.data(), text.size()) == nullptr) continue;
    const int rank = ((at->ifa_flags & IFF_LOOPBACK) != 0 ? 2 : 0) + (family == AF_INET6 ? 1 : 0);
    ranked.emplace_back(rank, text.data());
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (auto& [rank, text] : ranked) {
    if (std::find(out.begin(), out.end(), text) == out.end()) out.push_back(std::move(text));
  }
  return out;
}

}  // namespace mobula::os
