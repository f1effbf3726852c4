#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/os/event_loop.h"
#include "tests/transport/backend.h"
#include "transport/sim/sim.h"

namespace mobula::test {
namespace {

using transport::sim::LinkOptions;
using transport::sim::SimNetwork;
using transport::sim::SimWorker;

// MOBULA_SEED chooses another history.
std::uint64_t seed() {
  const char* const text = std::getenv("MOBULA_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

LinkOptions calm() { return {}; }
LinkOptions rough() {
  LinkOptions options;
  options.delay_max = std::chrono::milliseconds(2);
  options.loss = 0.05;
  options.duplication = 0.05;
  options.reordering = 0.1;
  return options;
}

template <LinkOptions (*kWeather)()>
class SimFabric final : public Fabric {
 public:
  SimFabric() : network_(seed()) { network_.set_default(kWeather()); }

  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    auto worker = transport::sim::make_sim_worker(network_, options, inbox);
    if (!worker.ok()) return worker.error();
    return std::unique_ptr<transport::Worker>(std::move(*worker));
  }

  void wait(std::span<transport::Worker* const> workers, base::Duration at_most) override {
    const base::Time limit = network_.now() + at_most;
    const auto asleep = [&] {
      return std::all_of(workers.begin(), workers.end(), [](transport::Worker* w) { return w->arm(); });
    };
    while (asleep() && network_.step(limit)) {
    }
  }

  std::vector<std::string> listeners(const transport::Worker&) const override { return {}; }
  void crash(transport::Worker& worker) override { static_cast<SimWorker&>(worker).crash(); }

  static std::unique_ptr<Fabric> make() { return std::make_unique<SimFabric>(); }

 private:
  SimNetwork network_;
};

Traits traits() {
  Traits traits;
  traits.processes = false;
  traits.large_bytes = 4u << 20;
  return traits;
}

}  // namespace

Backends backends() {
  return {{{"sim_calm", traits(), &SimFabric<calm>::make}, {"sim_rough", traits(), &SimFabric<rough>::make}}, ""};
}

}  // namespace mobula::test
