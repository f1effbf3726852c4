// What the rows of suite `startup` start as "ours": prints a line as soon as a task has returned, then what the GCS, a
// child of this process, has used of the CPU by then.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include <mobula/mobula.h>

std::string greet(std::string who) { return "hello " + who; }

namespace {

std::uint64_t gcs_cpu_us() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task/" + std::to_string(::getpid()))) {
    if (entry.path().filename() != "children") continue;
    std::ifstream children(entry.path());
    for (std::string pid; children >> pid;) {
      std::string name;
      std::uint64_t ns = 0;
      std::ifstream("/proc/" + pid + "/comm") >> name;
      std::ifstream("/proc/" + pid + "/schedstat") >> ns;
      if (name == "mobula-gcs") return ns / 1000;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  std::cout << mobula::remote<&greet>("world").get() << std::endl;
  std::cout << "gcs_cpu_us " << gcs_cpu_us() << std::endl;
}
