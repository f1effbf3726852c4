// busy_app NODES FILE: keeps tasks on all of so many nodes and calls of an actor under way, whatever dies meanwhile,
// until the file exists; then makes FILE.done.  Says "ready" when each node has run a task, "round N" after each round.
// Ends with 3 when the cluster has gone, with 5 when what may be repeated without end failed all the same.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <mobula/mobula.h>

namespace {

constexpr auto kLifeMax = std::chrono::minutes(3);  // Should a test forget it.

std::string work() {
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

class Tally {
 public:
  int add(int n) { return sum_ += n; }
  void save(mobula::Archive& ar) const { ar(sum_); }
  void load(mobula::Archive& ar) { ar(sum_); }

 private:
  int sum_ = 0;
};

// The hosts that have run this round's tasks.
std::set<std::string> run_round(const mobula::ActorHandle<Tally>& tally) {
  std::vector<mobula::Ref<std::string>> tasks;
  for (int i = 0; i < 6; ++i) {
    tasks.push_back(mobula::remote<&work>.with({.max_retries = -1, .scheduling = mobula::Spread{}})());
  }
  const auto added = tally.at<&Tally::add>()(1);
  std::set<std::string> hosts;
  for (const auto& task : tasks) hosts.insert(task.get());
  try {
    added.get();
  } catch (const mobula::ActorUnavailable& e) {
    std::cout << "call lost: " << e.what() << std::endl;  // It is being started again elsewhere.
  }
  return hosts;
}

}  // namespace

int main(int argc, char** argv) try {
  auto session = mobula::init(argc, argv);
  const std::size_t nodes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1;
  const std::string file = argc > 2 ? argv[2] : "/";
  const auto end = std::chrono::steady_clock::now() + kLifeMax;
  const auto tally = mobula::actor<Tally>.with({.max_restarts = -1})();
  std::set<std::string> hosts;
  for (int round = 1; std::chrono::steady_clock::now() < end; ++round) {
    const bool was_ready = hosts.size() >= nodes;
    hosts.merge(run_round(tally));
    if (!was_ready && hosts.size() >= nodes) std::cout << "ready" << std::endl;
    std::cout << "round " << round << std::endl;
    if (::access(file.c_str(), F_OK) == 0) break;
  }
  std::ofstream(file + ".done") << "done\n";
  return 0;
} catch (const mobula::ClusterDown& e) {
  std::cout << "cluster down: " << e.what() << std::endl;
  return 3;
} catch (const std::exception& e) {
  std::cout << "failed: " << e.what() << std::endl;
  return 5;
}
