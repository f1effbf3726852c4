// A fixed pool of actors works off a list: whoever is done first gets the next piece.  Each actor counts what it has
// done, as a worker with an expensive start (a model, a connection) would be reused.
#include <iostream>
#include <map>
#include <vector>

#include <mobula/mobula.h>

class Worker {
 public:
  explicit Worker(int id) : id_(id) {}
  // The length of the Collatz sequence from n.
  std::pair<int, int> collatz(long n) {
    int steps = 0;
    for (; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) ++steps;
    ++done_;
    return {id_, steps};
  }
  int done() const { return done_; }

 private:
  int id_;
  int done_ = 0;
};

int main(int argc, char** argv) {
  auto session = mobula::init(argc, argv);
  constexpr int kWorkers = 3;
  constexpr long kLast = 300;

  std::vector<mobula::ActorHandle<Worker>> pool;
  for (int i = 0; i < kWorkers; ++i) pool.push_back(mobula::actor<Worker>(i));

  using Answer = mobula::Ref<std::pair<int, int>>;
  std::vector<Answer> running;
  long next = 1, longest = 0;
  for (const auto& worker : pool) running.push_back(mobula::method<&Worker::collatz>(worker, next++));
  while (!running.empty()) {
    auto [done, rest] = mobula::wait(running, {.count = 1});
    const auto [id, steps] = done[0].get();
    longest = std::max<long>(longest, steps);
    if (next <= kLast) {
      rest.push_back(mobula::method<&Worker::collatz>(pool[static_cast<std::size_t>(id)], next++));
    }
    running = std::move(rest);
  }
  int total = 0;
  for (const auto& worker : pool) total += mobula::method<&Worker::done>(worker).get();
  std::cout << total << " numbers, the longest Collatz sequence has " << longest << " steps\n";
  return total == kLast && longest == 127 ? 0 : 1;
}
