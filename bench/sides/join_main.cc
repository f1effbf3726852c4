// How long simulated nodes take to come together, in virtual time, and the messages that each sends and gets:
// tests/sim/join_world.h.
#include <string>

#include "bench/sides/serve.h"
#include "tests/sim/join_world.h"

int main() {
  using namespace mobula::bench;
  using Milliseconds = std::chrono::duration<double, std::milli>;
  Side side;
  for (const std::uint32_t nodes : {100u, 1'000u, 10'000u}) {
    const std::string name = "sim_join_" + std::to_string(nodes);
    side.add(name + "_ms",
             [nodes](Effort) { return Milliseconds(mobula::sim::simulate_join({.nodes = nodes}).all_up).count(); });
    side.add(name + "_messages",
             [nodes](Effort) { return mobula::sim::simulate_join({.nodes = nodes}).messages_per_node; });
  }
  side.serve();
}
