// Says what it knows of the end of its time, and which of three tasks may start.  `time_app moved SECONDS` waits until
// more than that many are left.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include <mobula/mobula.h>

namespace {

int answer() { return 42; }

void try_task(const char* name, std::chrono::nanoseconds estimate) {
  try {
    std::cout << name << ": " << mobula::remote<&answer>.with({.estimate = estimate})().get() << "\n";
  } catch (const mobula::Unschedulable& e) {
    std::cout << name << ": " << e.what() << "\n";
  }
}

double left() {
  const auto time = mobula::time_left();
  return time ? std::chrono::duration<double>(*time).count() : -1;
}

int left_on_a_worker() { return static_cast<int>(left()); }

bool wait_for(auto condition) {
  for (int i = 0; i < 6000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return condition();
}

}  // namespace

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  if (argc > 1 && std::strcmp(argv[1], "unlimited") == 0) {
    std::cout << "left: " << left() << "\n";
    try_task("long", std::chrono::hours(1000));
    return 0;
  }
  // Slurm is asked beside the start, which does not wait for the answer.
  if (!wait_for([] { return left() >= 0; })) return std::cout << "no end is known\n", 1;
  std::cout << "left: " << left() << " on a worker: " << mobula::remote<&left_on_a_worker>().get() << std::endl;
  if (argc > 2 && std::strcmp(argv[1], "moved") == 0) {
    const double more = std::atof(argv[2]);
    if (!wait_for([more] { return left() > more; })) return std::cout << "not moved: " << left() << "\n", 1;
    std::cout << "moved\n";
    return 0;
  }
  try_task("short", std::chrono::seconds(1));
  try_task("none", std::chrono::nanoseconds(0));
  try_task("long", std::chrono::hours(2));
  return 0;
}
