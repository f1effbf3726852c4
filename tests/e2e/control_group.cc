#include "tests/e2e/control_group.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace mobula::testing {
namespace {

// Where version 1's controller is mounted.  Version 2 hands one to a group only when its parent has no process, which a
// test has not in its hand.
std::string mount_of(const std::string& controller) {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream fields(line);
    std::string device, point, type, options;
    fields >> device >> point >> type >> options;
    if (type == "cgroup" && (',' + options + ',').find(',' + controller + ',') != std::string::npos) return point;
  }
  return {};
}

}  // namespace

ControlGroup::ControlGroup(Limit what, std::size_t most) {
  const bool memory = what == Limit::kMemoryBytes;
  const std::string controller = memory ? "memory" : "pids";
  const std::string mount = mount_of(controller);
  if (mount.empty()) {
    why_not_ = "the controller " + controller + " of cgroup version 1 is mounted nowhere";
    return;
  }
  const std::string path = mount + "/mobula-test-" + std::to_string(::getpid());
  if (::mkdir(path.c_str(), 0755) != 0) {
    why_not_ = "no control group can be made in " + mount + ": " + std::strerror(errno);
    return;
  }
  path_ = path;
  std::ofstream limit(path_ + (memory ? "/memory.limit_in_bytes" : "/pids.max"));
  limit << most << std::flush;
  if (limit) return;
  why_not_ = path_ + " takes no limit";
  remove();
}

ControlGroup::~ControlGroup() { remove(); }

bool ControlGroup::remove() {
  if (path_.empty()) return true;
  // A dead process leaves its group a moment after its parent has heard of the death.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (::rmdir(path_.c_str()) != 0 && errno == EBUSY && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0) return false;
  path_.clear();
  return true;
}

void ControlGroup::enter() const {
  const int file = ::open((path_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0 || ::write(file, "0", 1) != 1) ::_exit(126);
  ::close(file);
}

}  // namespace mobula::testing
