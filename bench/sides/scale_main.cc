// What the size of a cluster costs the machines that decide, with 100, 1,000 and 10,000 simulated nodes:
// tests/sim/scale_world.h.
#include <algorithm>
#include <chrono>
#include <string>

#include "bench/sides/serve.h"
#include "tests/sim/scale_world.h"

int main() {
  using namespace mobula::bench;
  using namespace mobula::sim;
  const auto seconds = [](mobula::base::Duration d) { return std::chrono::duration<double>(d).count(); };
  Side side;
  for (const std::uint32_t nodes : {100u, 1'000u, 10'000u}) {
    const ScaleOptions options{.nodes = nodes};
    const std::string suffix = "_" + std::to_string(nodes);
    side.add("sim_lease_us" + suffix, [=](Effort) { return fill_with_leases(options).cpu_us_each; });
    side.add("sim_fill_s" + suffix, [=](Effort) { return seconds(fill_with_leases(options).took); });
    side.add("sim_lease_messages" + suffix, [=](Effort) { return fill_with_leases(options).messages_per_node; });
    side.add("sim_view_bytes" + suffix, [=](Effort) { return fill_with_leases(options).bytes_each; });
    const auto actors = [=](Effort effort) {
      return create_actors(options, static_cast<std::uint32_t>(effort.of(100'000)));
    };
    side.add("sim_actor_us" + suffix, [=](Effort effort) { return actors(effort).cpu_us_each; });
    side.add("sim_actor_bytes" + suffix, [=](Effort effort) { return actors(effort).bytes_each; });
    side.add("sim_group_us" + suffix, [=](Effort effort) {
      const int groups = std::min<int>(effort.of(1'000), static_cast<int>(nodes));
      return create_groups(options, static_cast<std::uint32_t>(groups), 4).cpu_us_each;
    });
  }
  side.add("lease_step_ns", [](Effort effort) { return lease_step_ns(effort.of(200'000)); });
  side.add("bulk_lease_1000_ms",
           [=](Effort) { return fill_with_leases({.nodes = 1, .cpus_per_node = 1'000}).cpu_us_each; });
  // Ant's 80,000 cores, which took Ray 30 minutes, as nodes of 64.
  side.add("fill_80k_cores_s",
           [=](Effort) { return seconds(fill_with_leases({.nodes = 1'250, .cpus_per_node = 64}).took); });
  side.serve();
}
