// A driver whose tasks run on the node that is named: where its program exists only if it was brought there.
//
//   ship_app NODE [COUNT]: prints the path that each worker runs, one a line, or the error.
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <mobula/mobula.h>

std::string where() {
  char path[PATH_MAX];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return {path, static_cast<std::size_t>(n < 0 ? 0 : n)};
}

#ifdef SHIP_NEEDS_LIBRARY
extern "C" int ship_library_answer();
#else
extern "C" int ship_library_answer() { return 0; }
#endif

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const auto session = mobula::init(argc, argv);
  std::vector<mobula::Ref<std::string>> paths;
  const int count = argc > 2 ? std::atoi(argv[2]) : 1;
  for (int i = 0; i < count + ship_library_answer(); ++i)
    paths.push_back(mobula::remote<&where>.with({.scheduling = mobula::NodeAffinity{argv[1]}})());
  for (auto& path : paths) {
    try {
      std::cout << "ran " << path.get() << std::endl;
    } catch (const mobula::Unschedulable& error) {
      std::cout << "unschedulable " << error.what() << std::endl;
      return 3;
    }
  }
}
