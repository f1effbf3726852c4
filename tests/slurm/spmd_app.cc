// spmd_app            every rank joins one job: each adds its rank to an actor that rank 0 has named, and runs a task
// spmd_app late       the last rank lives on for a while after the others have left
// spmd_app throw      rank 0 ends by an exception, while the others wait for a task
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

#include <mobula/mobula.h>

class Sum {
 public:
  void add(int rank) {
    ++count_;
    sum_ += rank;
  }
  int count() const { return count_; }
  int sum() const { return sum_; }

 private:
  int count_ = 0;
  int sum_ = 0;
};

std::string host() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}
int twice(int value) { return 2 * value; }
void sleep_long() { std::this_thread::sleep_for(std::chrono::minutes(5)); }

// Rank 0 may not have made it yet.
mobula::ActorHandle<Sum> find_sum() {
  for (;;) {
    try {
      return mobula::get_actor<Sum>("sum");
    } catch (const mobula::InvalidArgument&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv, {.ranks = mobula::all});
  const int rank = static_cast<int>(session.rank());
  const int size = static_cast<int>(session.size());
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "throw") {
    if (rank == 0) throw std::runtime_error("rank 0 gives up");
    try {
      mobula::remote<&sleep_long>().get();
    } catch (const mobula::Error&) {
      return 0;
    }
    return 3;
  }
  auto sum = rank == 0 ? mobula::actor<Sum>.with({.name = "sum"})() : find_sum();
  mobula::method<&Sum::add>(sum, rank).get();
  if (what == "late" && rank == size - 1) std::this_thread::sleep_for(std::chrono::seconds(1));
  std::cout << "rank " << rank << " of " << size << " on " << host() << ": twice " << mobula::remote<&twice>(rank).get()
            << "\n";
  if (rank != 0) return 0;
  while (mobula::method<&Sum::count>(sum).get() < size) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::cout << "sum " << mobula::method<&Sum::sum>(sum).get() << "\n";
}
