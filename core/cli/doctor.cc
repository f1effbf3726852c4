#include "core/cli/doctor.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "core/cli/commands.h"
#include "core/os/cgroup.h"
#include "core/os/host.h"
#include "core/os/memory_file.h"
#include "core/os/process.h"
#include "core/os/session.h"

namespace mobula::cli {
namespace {

using Verdict = Finding::Verdict;

constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kGiB = kMiB * 1024.0;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The file's word in brackets, as the kernel shows choices.
std::string chosen(const std::string& line) {
  const std::size_t begin = line.find('[');
  const std::size_t end = line.find(']');
  return begin == std::string::npos || end == std::string::npos ? line : line.substr(begin + 1, end - begin - 1);
}

Finding cpus() {
  const unsigned count = os::cpus_available();
  return {"cpus", count >= 2 ? Verdict::kOk : Verdict::kWarn, fmt::format("{} may be used here", count),
          "with one CPU a worker and its caller take turns: calls sleep instead of spinning"};
}

Finding memory() {
  const double limit = static_cast<double>(os::memory_limit_bytes()) / kGiB;
  const double free = static_cast<double>(os::memory_available_bytes()) / kGiB;
  return {"memory", free >= 1.0 ? Verdict::kOk : Verdict::kWarn,
          fmt::format("{:.1f} GiB free of {:.1f} GiB; a node's store takes up to {:.1f} GiB", free, limit, 0.3 * limit),
          "free memory, or set MOBULA_STORE_BYTES"};
}

Finding memory_files() {
  const auto file = os::make_memory_file("mobula-doctor", 1u << 20);
  if (!file)
    return {"memory files", Verdict::kFail, file.error().what,
            "a kernel with memfd_create (3.17) and room for descriptors is needed"};
  const auto reserved = os::reserve(*file, 0, 1u << 20);
  if (!reserved)
    return {"memory files", Verdict::kFail, reserved.error().what, "raise the memory limit of the container or cgroup"};
  return {"memory files", Verdict::kOk, "sealed memory files can be made and reserved (1 MiB tried)", ""};
}

Finding shared_memory() {
  struct statvfs fs {};
  if (::statvfs("/dev/shm", &fs) != 0)
    return {"/dev/shm", Verdict::kOk, "is not mounted; only UCX over shared memory and MPI need it", ""};
  const double free = static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize) / kMiB;
  return {"/dev/shm", free >= 64 ? Verdict::kOk : Verdict::kWarn,
          fmt::format("{:.0f} MiB free (the object store does not use it)", free),
          "containers: --shm-size=1g, for MPI and NCCL beside Mobula"};
}

Finding memlock() {
  rlimit limit{};
  ::getrlimit(RLIMIT_MEMLOCK, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {"memlock", Verdict::kOk, "unlimited", ""};
  const bool rdma = std::filesystem::exists("/sys/class/infiniband");
  return {"memlock", rdma ? Verdict::kWarn : Verdict::kOk,
          fmt::format("{:.1f} MiB may be locked", static_cast<double>(limit.rlim_cur) / kMiB),
          "RDMA registers memory: ulimit -l unlimited (limits.conf, or LimitMEMLOCK=infinity for slurmd)"};
}

Finding descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return {"open files", limit.rlim_cur >= 4096 ? Verdict::kOk : Verdict::kWarn,
          fmt::format("{} per process; a worker costs its raylet about 4", limit.rlim_cur), "ulimit -n 20000"};
}

Finding processes() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NPROC, &limit);
  if (limit.rlim_cur == RLIM_INFINITY) return {"processes", Verdict::kOk, "unlimited", ""};
  return {"processes", limit.rlim_cur >= 1024 ? Verdict::kOk : Verdict::kWarn,
          fmt::format("{} of this user", limit.rlim_cur), "ulimit -u 4096"};
}

Finding huge_pages() {
  const std::string path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const std::string mode = chosen(first_line(path));
  const std::string set_aside = first_line("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
  const bool good = mode == "advise" || mode == "always" || mode == "within_size" || mode == "force";
  return {"huge pages", good ? Verdict::kOk : Verdict::kWarn,
          fmt::format("for shared memory: {}; {} pages of 2 MiB set aside", mode.empty() ? "not known" : mode,
                      set_aside.empty() ? "0" : set_aside),
          "as root: echo advise > " + path + " (maps a store 8 times faster)"};
}

Finding cgroups() {
  const auto limits = os::read_cgroups();
  std::string text;
  if (limits.cpus) text += fmt::format("{:.1f} CPUs", *limits.cpus);
  if (limits.memory_limit_bytes)
    text += fmt::format("{}{:.1f} GiB of memory", text.empty() ? "" : ", ",
                        static_cast<double>(*limits.memory_limit_bytes) / kGiB);
  const std::string pids = first_line("/sys/fs/cgroup/pids.max");
  const bool few = !pids.empty() && pids != "max" && std::strtol(pids.c_str(), nullptr, 10) < 1024;
  if (!pids.empty() && pids != "max") text += (text.empty() ? "" : ", ") + pids + " processes";
  return {
      "cgroups", few ? Verdict::kWarn : Verdict::kOk,
      text.empty() ? fmt::format("set no limit below the machine's {} CPUs", os::cpus_available()) : "allow " + text,
      "raise pids.max (containers: --pids-limit): each worker is a process"};
}

Finding devices() {
  std::string names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/infiniband", error))
    names += " " + entry.path().filename().string();
  if (names.empty()) return {"RDMA", Verdict::kOk, "0 devices: nodes are joined by shared memory or sockets", ""};
  return {"RDMA", Verdict::kOk, "devices:" + names, ""};
}

// By dlopen, so that the check itself loads UCX into no other command.
Finding ucx() {
  void* library = ::dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return {"UCX", Verdict::kWarn, "libucp.so.0 does not load",
            "apt-get install libucx0: needed for RDMA between nodes"};
  using GetVersion = void (*)(unsigned*, unsigned*, unsigned*);
  unsigned version[3] = {0, 0, 0};
  if (const auto get = reinterpret_cast<GetVersion>(::dlsym(library, "ucp_get_version")))
    get(&version[0], &version[1], &version[2]);
  ::dlclose(library);
  const bool known = version[0] > 1 || (version[0] == 1 && version[1] >= 13);
  const char* tls = ::getenv("UCX_TLS");
  return {
      "UCX", known ? Verdict::kOk : Verdict::kWarn,
      fmt::format("version {}.{}.{}{}", version[0], version[1], version[2],
                  tls == nullptr ? "" : fmt::format("; UCX_TLS={} is ignored by Mobula (MOBULA_UCX_TLS is not)", tls)),
      "versions before 1.13 are not tested"};
}

Finding cuda() {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {"CUDA", Verdict::kOk, "no driver: this node offers 0 GPUs", ""};
  int count = 0;
  const auto init = reinterpret_cast<int (*)(unsigned)>(::dlsym(library, "cuInit"));
  const auto get = reinterpret_cast<int (*)(int*)>(::dlsym(library, "cuDeviceGetCount"));
  const int error = init == nullptr || get == nullptr ? -1 : init(0);
  if (error == 0) get(&count);
  if (error != 0)
    return {"CUDA", Verdict::kWarn, fmt::format("the driver is there and cuInit fails with {}", error),
            "nvidia-smi says why"};
  return {"CUDA", Verdict::kOk, fmt::format("{} GPUs", count), ""};
}

Finding clocks() {
  timespec monotonic{};
  ::clock_gettime(CLOCK_MONOTONIC, &monotonic);
  constexpr int kReads = 1000;
  timespec end{};
  for (int i = 0; i < kReads; ++i) ::clock_gettime(CLOCK_MONOTONIC, &end);
  const double ns = (static_cast<double>(end.tv_sec - monotonic.tv_sec) * 1e9 +
                     static_cast<double>(end.tv_nsec - monotonic.tv_nsec)) /
                    kReads;
  const std::string source = first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  return {"clock", ns < 200 ? Verdict::kOk : Verdict::kWarn,
          fmt::format("{} costs {:.0f} ns to read", source.empty() ? "the monotonic clock" : source, ns),
          "a clock source in user space (tsc, kvm-clock) makes calls faster"};
}

Finding host_name() {
  const std::string name = os::host_name();
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, nullptr, &found);
  if (found != nullptr) ::freeaddrinfo(found);
  std::string addresses;
  for (const auto& address : os::ip_addresses()) addresses += " " + address;
  if (error != 0)
    return {"host name", Verdict::kWarn,
            name + " does not resolve (" + ::gai_strerror(error) + "); addresses:" + addresses,
            "MPI programs may need it in /etc/hosts; Mobula uses addresses"};
  return {"host name", Verdict::kOk, name + " resolves; addresses:" + addresses, ""};
}

Finding session_root() {
  const std::string root = os::sessions_root();
  const auto session = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove);
  if (!session)
    return {"sessions", Verdict::kFail, session.error().what,
            "set MOBULA_TMPDIR to a directory of yours on a local file system"};
  struct statvfs fs {};
  if (::statvfs(root.c_str(), &fs) != 0) return {"sessions", Verdict::kOk, "under " + root, ""};
  const double free = static_cast<double>(fs.f_bavail) * static_cast<double>(fs.f_frsize) / kMiB;
  const bool noexec = (fs.f_flag & ST_NOEXEC) != 0;
  return {"sessions", free < 64 || noexec ? Verdict::kWarn : Verdict::kOk,
          fmt::format("under {}, {:.0f} MiB free{}", root, free,
                      noexec ? "; mounted noexec: programs cannot be brought to this node" : ""),
          "set MOBULA_TMPDIR to a directory of yours with room for logs and programs, not mounted noexec"};
}

Finding zygote() {
  std::size_t threads = 0;
  std::error_code error;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) ++threads;
  return {"workers", Verdict::kOk,
          threads == 1
              ? "are forked from a zygote (programs with threads before init() start them by exec, 20 times slower)"
              : "this program has threads at its start: they would be started by exec",
          ""};
}

Finding resolve_build_id() {
  const std::string id = os::self_build_id();
  return {"build id", id.empty() ? Verdict::kWarn : Verdict::kOk,
          id.empty() ? "this binary has none" : "of this binary: " + id.substr(0, 12),
          "link with -Wl,--build-id: two builds of a program cannot be told apart without"};
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk: return "OK";
    case Verdict::kWarn: return "WARN";
    case Verdict::kFail: return "FAIL";
  }
  return "";
}

}  // namespace

std::vector<Finding> examine() {
  return {cpus(),      memory(),     memory_files(), shared_memory(), memlock(),         descriptors(),
          processes(), huge_pages(), cgroups(),      session_root(),  host_name(),       clocks(),
          devices(),   ucx(),        cuda(),         zygote(),        resolve_build_id()};
}

int doctor(Format format) { return report(examine(), format); }

int report(const std::vector<Finding>& findings, Format format) {
  const bool failed =
      std::any_of(findings.begin(), findings.end(), [](const Finding& f) { return f.verdict == Verdict::kFail; });
  if (format == Format::kJson) {
    nlohmann::json out = nlohmann::json::array();
    for (const auto& f : findings)
      out.push_back({{"subject", f.subject},
                     {"verdict", name_of(f.verdict)},
                     {"text", f.text},
                     {"remedy", f.verdict == Verdict::kOk ? "" : f.remedy}});
    std::printf("%s\n", out.dump().c_str());
    return failed ? 1 : 0;
  }
  for (const auto& f : findings) {
    std::printf("%-4s  %-13s %s\n", name_of(f.verdict), f.subject.c_str(), f.text.c_str());
    if (f.verdict != Verdict::kOk) std::printf("      %-13s -> %s\n", "", f.remedy.c_str());
  }
  return failed ? 1 : 0;
}

}  // namespace mobula::cli
