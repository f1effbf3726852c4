#include "tests/support/leak_check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;

std::string read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) out.push_back(entry.path().filename());
  std::sort(out.begin(), out.end());
  return out;
}

// A dead process that nobody has reaped has no command line; its parent is the leak, if there is one.
bool is_zombie(pid_t pid) {
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t end = stat.rfind(')');
  return end == std::string::npos || end + 2 >= stat.size() || stat[end + 2] == 'Z' || stat[end + 2] == 'X';
}

}  // namespace

LeakCheck::LeakCheck() : shm_before_(names_in("/dev/shm")) {
  char name[] = "/tmp/mobula-test-XXXXXX";
  const char* made = ::mkdtemp(name);
  directory_ = made == nullptr ? "" : made;
  ::setenv("MOBULA_TMPDIR", directory_.c_str(), 1);
}

LeakCheck::~LeakCheck() {
  for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

std::vector<pid_t> LeakCheck::processes() const {
  std::vector<pid_t> out;
  const std::string mark = "MOBULA_TMPDIR=" + directory_;
  for (const auto& name : names_in("/proc")) {
    const pid_t pid = std::atoi(name.c_str());
    if (pid <= 0 || pid == ::getpid()) continue;
    const std::string environment = read_whole("/proc/" + name + "/environ");
    // Whole variables only: each ends with a zero byte.
    if ((environment + '\0').find(mark + '\0') != std::string::npos && !is_zombie(pid)) out.push_back(pid);
  }
  return out;
}

std::vector<std::string> LeakCheck::look() const {
  std::vector<std::string> out;
  for (const pid_t pid : processes()) {
    std::string command = read_whole("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(command.begin(), command.end(), '\0', ' ');
    out.push_back("process " + std::to_string(pid) + ": " + command);
  }
  std::error_code error;
  // Something may be removing what is there at this moment: then the rest is looked at the next time.
  for (auto entry = fs::recursive_directory_iterator(directory_, error); entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    out.push_back("file " + entry->path().string());
    if (error) break;
  }
  for (const auto& name : names_in("/dev/shm")) {
    const bool ours = name.find("mobula") != std::string::npos || name.find("ucx") != std::string::npos;
    if (ours && !std::binary_search(shm_before_.begin(), shm_before_.end(), name)) out.push_back("/dev/shm/" + name);
  }
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    out.push_back("unreaped child " + std::to_string(info.si_pid));
  }
  return out;
}

std::vector<std::string> LeakCheck::leftovers(std::chrono::milliseconds patience) const {
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    auto left = look();
    if (left.empty() || std::chrono::steady_clock::now() >= until) return left;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace mobula::testing
