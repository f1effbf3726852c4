// Endpoints in a network that is cut, healed and paused.

#include <gtest/gtest.h>

#include "tests/transport/party.h"
#include "transport/sim/sim.h"

namespace mobula::test {
namespace {

using namespace std::chrono_literals;
using transport::sim::NodeIndex;
using transport::sim::SimNetwork;
using transport::sim::SimWorker;

// A fabric whose network the test can reach.
struct OpenFabric final : Fabric {
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    auto worker = transport::sim::make_sim_worker(network, options, inbox);
    return std::unique_ptr<transport::Worker>(std::move(*worker));
  }
  void wait(std::span<transport::Worker* const> workers, base::Duration at_most) override {
    const base::Time limit = network.now() + at_most;
    for (;;) {
      for (transport::Worker* worker : workers) {
        if (!worker->arm()) return;
      }
      if (!network.step(limit)) return;
    }
  }
  std::vector<std::string> listeners(const transport::Worker&) const override { return {}; }

  SimNetwork network{11};
};

class SimWorkerTest : public ::testing::Test {
 protected:
  SimWorkerTest()
      : world_({"sim", {}, [] { return std::unique_ptr<Fabric>(std::make_unique<OpenFabric>()); }}),
        a_(world_.add("left")),
        b_(world_.add("right")) {
    std::tie(to_b_, to_a_) = world_.join(a_, b_);
  }
  SimNetwork& network() { return static_cast<OpenFabric&>(world_.fabric()).network; }
  static NodeIndex node(Party& party) { return static_cast<SimWorker&>(party.worker()).node(); }
  void pass(base::Duration time) {
    const base::Time end = network().now() + time;
    ASSERT_TRUE(world_.until([&] { return network().now() >= end; }));
  }

  World world_;
  Party& a_;
  Party& b_;
  Endpoint* to_b_ = nullptr;
  Endpoint* to_a_ = nullptr;
};

TEST_F(SimWorkerTest, AnIdleConnectionStays) {
  pass(60s);
  EXPECT_TRUE(a_.lost_peers.empty() && b_.lost_peers.empty());
  ASSERT_TRUE(to_b_->send(1, {}, view("still here"), nullptr).ok());
  EXPECT_TRUE(world_.until([&] { return b_.messages.size() == 1; }));
}

TEST_F(SimWorkerTest, AShortCutDelaysMessagesButLosesNone) {
  network().cut_both(node(a_), node(b_));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(to_b_->send(1, {}, view(std::to_string(i)), nullptr).ok());
  pass(500ms);
  EXPECT_TRUE(b_.messages.empty());
  network().heal_both(node(a_), node(b_));
  ASSERT_TRUE(world_.until([&] { return b_.messages.size() == 100; }));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(b_.messages[i].payload, std::to_string(i));
}

TEST_F(SimWorkerTest, ALongCutLosesThePeerOnBothSides) {
  network().cut_both(node(a_), node(b_));
  const base::Time cut = network().now();
  ASSERT_TRUE(world_.until([&] { return a_.lost_peers.contains(to_b_) && b_.lost_peers.contains(to_a_); }));
  EXPECT_LT(network().now() - cut, 2s);
}

TEST_F(SimWorkerTest, ACutOfOneDirectionLosesThePeerToo) {
  network().link(node(a_), node(b_)).cut = true;
  ASSERT_TRUE(world_.until([&] { return a_.lost_peers.contains(to_b_) || b_.lost_peers.contains(to_a_); }));
}

TEST_F(SimWorkerTest, AShortPauseIsNoDeath) {
  network().pause(node(b_));
  ASSERT_TRUE(to_b_->send(1, {}, view("wait"), nullptr).ok());
  pass(500ms);
  EXPECT_TRUE(b_.messages.empty());
  network().resume(node(b_));
  EXPECT_TRUE(world_.until([&] { return b_.messages.size() == 1; }));
  pass(5s);
  EXPECT_TRUE(a_.lost_peers.empty() && b_.lost_peers.empty());
}

}  // namespace
}  // namespace mobula::test
