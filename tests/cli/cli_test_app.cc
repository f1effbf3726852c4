// What the tests of the CLI run: a task on each of some workers, and an exit code of its own.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <set>
#include <string>

#include <mobula/mobula.h>

std::string where() {
  std::cout << "a worker was here\n";
  return std::to_string(::getpid());
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  std::cout << "pid of a worker: " << mobula::remote<&where>().get() << "\n";
  if (argc > 1 && std::string(argv[1]) == "hold") {
    std::cout << "holding" << std::endl;
    ::pause();
  }
  return argc > 1 ? std::atoi(argv[1]) : 0;
}
