#include "bench/suite/machine.h"

#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

namespace mobula::bench {
namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

double rounded(double value) { return std::round(value * 100) / 100; }

}  // namespace

nlohmann::ordered_json describe_machine(int cores_used) {
  utsname kernel{};
  ::uname(&kernel);
  struct sysinfo memory {};
  ::sysinfo(&memory);
  double load[3] = {};
  ::getloadavg(load, 3);
  char now[32];
  const std::time_t seconds = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {{"processor", processor()},
          {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"cores_used", cores_used},
          {"memory_gib", rounded(static_cast<double>(memory.totalram) * memory.mem_unit / (1 << 30))},
          {"kernel", std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine},
          {"load_average_at_start", {rounded(load[0]), rounded(load[1]), rounded(load[2])}},
          {"time", now}};
}

int use_cores(int count) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof allowed, &allowed);
  cpu_set_t few;
  CPU_ZERO(&few);
  int used = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE && used < count; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_SET(cpu, &few);
    ++used;
  }
  ::sched_setaffinity(0, sizeof few, &few);
  return used;
}

}  // namespace mobula::bench
