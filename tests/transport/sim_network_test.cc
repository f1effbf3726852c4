#include <set>

#include <gtest/gtest.h>

#include "transport/sim/network.h"

namespace mobula::transport::sim {
namespace {

using namespace std::chrono_literals;

struct Log {
  std::vector<std::pair<Time, std::string>> got;
  SimNetwork::Receiver on(SimNetwork& network) {
    return [this, &network](NodeIndex, ConstBytes bytes) {
      got.emplace_back(network.now(), std::string(base::as_string_view(bytes)));
    };
  }
};

std::vector<std::pair<Time, std::string>> history(std::uint64_t seed) {
  SimNetwork network(seed);
  LinkOptions rough;
  rough.loss = 0.2;
  rough.duplication = 0.2;
  rough.reordering = 0.2;
  network.set_default(rough);
  Log log;
  const NodeIndex a = network.add_node([](NodeIndex, ConstBytes) {});
  const NodeIndex b = network.add_node(log.on(network));
  for (int i = 0; i < 200; ++i) network.send(a, b, base::as_bytes(std::to_string(i)));
  network.run_until(Time{} + 1s);
  return log.got;
}

TEST(SimNetwork, TheSameSeedGivesTheSameHistory) {
  EXPECT_EQ(history(1), history(1));
  EXPECT_NE(history(1), history(2));
}

TEST(SimNetwork, DatagramsAreLostDoubledAndReordered) {
  const auto got = history(3);
  std::set<std::string> distinct;
  bool reordered = false;
  for (std::size_t i = 0; i < got.size(); ++i) {
    distinct.insert(got[i].second);
    reordered = reordered || (i > 0 && std::stoi(got[i].second) < std::stoi(got[i - 1].second));
  }
  EXPECT_LT(distinct.size(), 200u);
  EXPECT_GT(distinct.size(), 120u);
  EXPECT_GT(got.size(), distinct.size());
  EXPECT_TRUE(reordered);
}

TEST(SimNetwork, ACutHoldsInOneDirectionUntilHealed) {
  SimNetwork network(1);
  Log at_a;
  Log at_b;
  const NodeIndex a = network.add_node(at_a.on(network));
  const NodeIndex b = network.add_node(at_b.on(network));
  network.link(a, b).cut = true;
  network.send(a, b, base::as_bytes("lost"));
  network.send(b, a, base::as_bytes("heard"));
  network.run_until(Time{} + 1s);
  EXPECT_TRUE(at_b.got.empty());
  EXPECT_EQ(at_a.got.size(), 1u);
  network.heal_both(a, b);
  network.send(a, b, base::as_bytes("again"));
  network.run_until(Time{} + 2s);
  ASSERT_EQ(at_b.got.size(), 1u);
  EXPECT_EQ(at_b.got[0].second, "again");
}

TEST(SimNetwork, APausedNodeHearsEverythingLaterAndItsTimersWait) {
  SimNetwork network(1);
  Log log;
  const NodeIndex a = network.add_node([](NodeIndex, ConstBytes) {});
  const NodeIndex b = network.add_node(log.on(network));
  std::vector<std::string> fired;
  network.pause(b);
  network.at(b, Time{} + 10ms, [&] { fired.push_back("late"); });
  const auto cancelled = network.at(b, Time{} + 20ms, [&] { fired.push_back("never"); });
  network.send(a, b, base::as_bytes("one"));
  network.run_until(Time{} + 1s);
  EXPECT_TRUE(log.got.empty() && fired.empty());
  network.cancel(cancelled);
  network.resume(b);
  network.run_until(Time{} + 2s);
  EXPECT_EQ(log.got.size(), 1u);
  EXPECT_EQ(log.got[0].first, Time{} + 1s);
  EXPECT_EQ(fired, std::vector<std::string>{"late"});
}

TEST(SimNetwork, ARemovedNodeIsGoneWithItsTimers) {
  SimNetwork network(1);
  const NodeIndex a = network.add_node([](NodeIndex, ConstBytes) {});
  const NodeIndex b = network.add_node([](NodeIndex, ConstBytes) { FAIL(); });
  network.at(b, Time{} + 10ms, [] { FAIL(); });
  network.send(a, b, base::as_bytes("x"));
  network.remove_node(b);
  network.send(a, b, base::as_bytes("y"));
  network.run_until(Time{} + 1s);
  EXPECT_EQ(network.now(), Time{} + 1s);
}

TEST(SimNetwork, TimersFireInTheirOrderAndCanBeCancelled) {
  SimNetwork network(1);
  const NodeIndex a = network.add_node([](NodeIndex, ConstBytes) {});
  std::string order;
  network.at(a, Time{} + 20ms, [&] { order += 'b'; });
  network.at(a, Time{} + 10ms, [&] { order += 'a'; });
  const auto gone = network.at(a, Time{} + 15ms, [&] { order += 'x'; });
  network.at(a, Time{} + 20ms, [&] { order += 'c'; });
  network.cancel(gone);
  EXPECT_EQ(network.next_event(), Time{} + 10ms);
  network.run_until(Time{} + 1s);
  EXPECT_EQ(order, "abc");
}

}  // namespace
}  // namespace mobula::transport::sim
