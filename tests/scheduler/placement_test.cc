#include "scheduler/placement.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"
#include "tests/topology/machines.h"

namespace mobula::scheduler {
namespace {

using base::CpuSet;
using base::LevelName;
using base::NodeId;
using base::Topology;
using base::TopologyLevel;

// Four nodes of one kind: two leaf switches of two, one spine, and an NVLink domain for n0 to n2.
class Cluster {
 public:
  explicit Cluster(const std::string& machine_name, int count = 4) : topology_(test::machine(machine_name)) {
    for (int n = 0; n < count; ++n) {
      base::Resources total = res({{"cpus", static_cast<double>(topology_.pus.size())},
                                   {"gpus", static_cast<double>(topology_.gpus.size())},
                                   {"memory", 1000}});
      Labels labels{{"mobula.topology/switch", "s" + std::to_string(n / 2)},
                    {"mobula.topology/spine", "p" + std::to_string(n / 4)},
                    {"mobula.topology/rack", "r" + std::to_string(n / 2)},
                    {"zone", n % 2 == 0 ? "even" : "odd"}};
      if (n < 3) labels["mobula.topology/nvlink"] = "b0";
      nodes.push_back({NodeRoom(id<NodeId>(static_cast<std::uint64_t>(n + 1)), topology_, std::move(total)), labels});
    }
  }
  Cluster(const Cluster&) = delete;  // The rooms point to its topology.
  Cluster& operator=(const Cluster&) = delete;
  const Topology& topology() const { return topology_; }
  std::size_t index(const NodeId& node) const {
    for (std::size_t n = 0; n < nodes.size(); ++n) {
      if (nodes[n].room.node() == node) return n;
    }
    return 999;
  }
  // "n0:0-1 n0:2-3/g1/mlx5_1"
  std::string show(const Placement& placement) const {
    if (placement.failure) return placement.failure->what;
    std::string out;
    for (const PlacedBundle& b : placement.bundles) {
      out += (out.empty() ? "n" : " n") + std::to_string(index(b.node)) + ":" + b.pieces.pus.to_string();
      for (const std::uint16_t gpu : b.pieces.gpus) out += "/g" + std::to_string(gpu);
      if (!b.pieces.gpus.empty() && b.pieces.nic) out += "/" + topology_.nics[*b.pieces.nic].name;
    }
    return out;
  }
  Placement place(GroupStrategy strategy, const std::string& level, std::vector<base::Resources> bundles) const {
    GroupWish wish{strategy, LevelName::parse(level), {}, std::move(bundles)};
    std::vector<std::uint32_t> all;
    for (std::uint32_t i = 0; i < wish.bundles.size(); ++i) all.push_back(i);
    return place_group(wish, all, {}, nodes);
  }

  std::vector<PlacementNode> nodes;

 private:
  const Topology topology_;
};

std::vector<base::Resources> times(std::size_t n, std::vector<std::pair<std::string, double>> shape) {
  return std::vector<base::Resources>(n, res(std::move(shape)));
}

// ---- every strategy at every level, on every machine.  What must hold is computed from the topology alone.

struct Case {
  std::string machine;
  std::string level;
  GroupStrategy strategy;
};

class EachLevel : public testing::TestWithParam<Case> {
 protected:
  // The domain that a bundle lies in, as text; empty when it lies in several.
  static std::string domain_of(const Cluster& cluster, const PlacedBundle& bundle, const LevelName& level) {
    const std::size_t n = cluster.index(bundle.node);
    if (level.above_node()) {
      const auto it = cluster.nodes[n].labels.find(level.label);
      return it == cluster.nodes[n].labels.end() ? "alone " + std::to_string(n) : it->second;
    }
    std::set<std::uint16_t> domains;
    for (const auto& pu : cluster.topology().pus) {
      if (bundle.pieces.pus.contains(pu.os)) domains.insert(Topology::domain_of(pu, level.level));
    }
    return domains.size() == 1 ? std::to_string(n) + "/" + std::to_string(*domains.begin()) : "";
  }
};

TEST_P(EachLevel, KeepsItsPromises) {
  const auto& [machine_name, level_text, strategy] = GetParam();
  const Cluster cluster(machine_name);
  const LevelName level = LevelName::parse(level_text);
  const bool gpus = !cluster.topology().gpus.empty() && level.level != TopologyLevel::kCore;
  // Two bundles fit into the smallest domain of every level but the core, where one PU each does.
  const auto shape = level.level == TopologyLevel::kCore ? std::vector<std::pair<std::string, double>>{{"cpus", 1}}
                     : gpus ? std::vector<std::pair<std::string, double>>{{"cpus", 2}, {"gpus", 1}}
                            : std::vector<std::pair<std::string, double>>{{"cpus", 2}};
  const std::size_t count = 2;
  const Placement placement = cluster.place(strategy, level_text, times(count, shape));
  const std::size_t siblings = cluster.topology().pus_of(TopologyLevel::kCore, 0).count();
  if (level.level == TopologyLevel::kCore && siblings < 2 && strategy == GroupStrategy::kStrictPack) {
    EXPECT_TRUE(placement.failure) << "a core of one PU holds one bundle of one";
    return;
  }
  ASSERT_FALSE(placement.failure) << placement.failure->what;
  ASSERT_EQ(placement.bundles.size(), count);

  std::map<std::pair<NodeId, unsigned>, std::uint32_t> owners;
  std::set<std::pair<NodeId, std::uint16_t>> gpus_used;
  std::map<std::string, std::size_t> domains;
  for (const PlacedBundle& b : placement.bundles) {
    EXPECT_EQ(b.pieces.pus.count(), static_cast<unsigned>(shape[0].second));
    for (const unsigned pu : b.pieces.pus.members()) {
      EXPECT_TRUE(owners.emplace(std::pair(b.node, pu), b.bundle).second) << "pu " << pu << " was given twice";
    }
    for (const std::uint16_t gpu : b.pieces.gpus) {
      EXPECT_TRUE(gpus_used.emplace(b.node, gpu).second) << "gpu " << gpu << " was given twice";
      EXPECT_TRUE(cluster.topology().gpus[gpu].near.covers(b.pieces.pus)) << "cores far from gpu " << gpu;
      ASSERT_TRUE(b.pieces.nic);
      EXPECT_EQ(*b.pieces.nic, cluster.topology().nics_near_gpu(gpu).front());
    }
    EXPECT_EQ(b.pieces.gpus.size(), gpus ? 1u : 0u);
    const std::string domain = domain_of(cluster, b, level);
    EXPECT_NE(domain, "") << "a bundle of this size lies in one " << level_text;
    ++domains[domain];
  }
  const bool packs = strategy == GroupStrategy::kPack || strategy == GroupStrategy::kStrictPack;
  const bool one_pu_cores = level.level == TopologyLevel::kCore && siblings < 2;
  // The clusters have at least two domains of each level but the spine, of which there is one.
  const bool one_domain = level.level == TopologyLevel::kSpine;
  if (packs && !one_pu_cores) {
    EXPECT_EQ(domains.size(), 1u) << cluster.show(placement);
  }
  if (!packs && !one_domain) {
    EXPECT_EQ(domains.size(), count) << cluster.show(placement);
  }
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const char* machine_name :
       {"dual-epyc-9654", "dual-epyc-9654-nps4", "dual-sapphire-rapids", "dgx-h100", "small-dgx", "limited-cpuset"}) {
    for (const char* level : {"core", "l3", "numa", "package", "node", "nvlink", "switch", "spine", "rack", "zone"}) {
      for (const auto strategy :
           {GroupStrategy::kPack, GroupStrategy::kSpread, GroupStrategy::kStrictPack, GroupStrategy::kStrictSpread}) {
        if (strategy == GroupStrategy::kStrictSpread && std::string(level) == "spine") continue;
        out.push_back({machine_name, level, strategy});
      }
    }
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Machines, EachLevel, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.machine + "_" + info.param.level + "_" + name_of(info.param.strategy);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

// ---- where exactly, in rank order

struct Row {
  GroupStrategy strategy;
  const char* level;
  std::size_t count;
  double cpus, gpus;
  const char* where;
};

TEST(Placement, FollowsTheTopologyInRankOrder) {
  // Each node: two packages of four PUs and two GPUs, each GPU beside a NIC.
  const Cluster cluster("small-dgx");
  using enum GroupStrategy;
  const Row rows[] = {
      {kPack, "node", 4, 2, 0, "n0:0-1 n0:2-3 n0:4-5 n0:6-7"},
      {kPack, "node", 6, 2, 0, "n0:0-1 n0:2-3 n0:4-5 n0:6-7 n1:0-1 n1:2-3"},
      {kPack, "node", 4, 2, 1, "n0:0-1/g0/mlx5_0 n0:2-3/g1/mlx5_1 n0:4-5/g2/mlx5_2 n0:6-7/g3/mlx5_3"},
      {kPack, "numa", 3, 2, 0, "n0:0-1 n0:2-3 n0:4-5"},
      {kPack, "numa", 2, 6, 0, "n0:0-5 n1:0-5"},  // Larger than a NUMA node: as near as can be.
      {kPack, "switch", 3, 8, 0, "n0:0-7 n1:0-7 n2:0-7"},
      {kSpread, "node", 4, 2, 0, "n0:0-1 n1:0-1 n2:0-1 n3:0-1"},
      {kSpread, "node", 6, 2, 0, "n0:0-1 n1:0-1 n2:0-1 n3:0-1 n0:2-3 n1:2-3"},
      {kSpread, "switch", 4, 2, 0, "n0:0-1 n2:0-1 n0:2-3 n2:2-3"},
      {kSpread, "numa", 3, 1, 0, "n0:0 n0:4 n1:0"},
      {kStrictPack, "numa", 2, 2, 1, "n0:0-1/g0/mlx5_0 n0:2-3/g1/mlx5_1"},
      {kStrictPack, "numa", 3, 2, 0, "bundle 2 (cpus=2) does not fit into one numa with the other 2"},
      {kStrictPack, "switch", 8, 2, 1,
       "n0:0-1/g0/mlx5_0 n0:2-3/g1/mlx5_1 n0:4-5/g2/mlx5_2 n0:6-7/g3/mlx5_3 "
       "n1:0-1/g0/mlx5_0 n1:2-3/g1/mlx5_1 n1:4-5/g2/mlx5_2 n1:6-7/g3/mlx5_3"},
      {kStrictPack, "nvlink", 3, 8, 0, "n0:0-7 n1:0-7 n2:0-7"},
      {kStrictPack, "zone", 2, 8, 0, "n0:0-7 n2:0-7"},
      {kStrictSpread, "node", 4, 1, 1, "n0:0/g0/mlx5_0 n1:0/g0/mlx5_0 n2:0/g0/mlx5_0 n3:0/g0/mlx5_0"},
      {kStrictSpread, "node", 5, 1, 0, "bundle 4 (cpus=1) finds no node of its own: 5 bundles, 4 of these"},
      {kStrictSpread, "nvlink", 2, 1, 0, "n0:0 n3:0"},  // n3 is alone in a domain of its own.
      {kStrictSpread, "package", 3, 4, 0, "n0:0-3 n0:4-7 n1:0-3"},
      {kStrictSpread, "core", 3, 1, 0, "n0:0 n0:1 n0:2"},
      {kPack, "node", 2, 4, 2, "n0:0-3/g0/g1/mlx5_0 n0:4-7/g2/g3/mlx5_2"},
      {kPack, "node", 4, 1, 0.5, "n0:0/g0/mlx5_0 n0:1/g0/mlx5_0 n0:2/g1/mlx5_1 n0:3/g1/mlx5_1"},
  };
  for (const Row& row : rows) {
    std::vector<std::pair<std::string, double>> shape{{"cpus", row.cpus}};
    if (row.gpus != 0) shape.emplace_back("gpus", row.gpus);
    EXPECT_EQ(cluster.show(cluster.place(row.strategy, row.level, times(row.count, shape))), row.where)
        << name_of(row.strategy) << " at " << row.level << " of " << row.count;
  }
}

TEST(Placement, NamesTheBundleTheResourceAndTheNearestNode) {
  const Cluster cluster("small-dgx");
  auto bundles = times(2, {{"cpus", 1}});
  bundles.push_back(res({{"cpus", 1}, {"gpus", 6}}));
  const auto failure = cluster.place(GroupStrategy::kPack, "node", bundles).failure;
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->bundle, 2u);
  EXPECT_EQ(failure->what, "bundle 2 (cpus=1 gpus=6) fits on no node: gpus=6 wanted, gpus=4 there on the nearest, " +
                               cluster.nodes[0].room.node().short_hex());
  EXPECT_EQ(failure->nearest, cluster.nodes[0].room.node());
  GroupWish wish{GroupStrategy::kPack, LevelName::parse("node"), {}, times(1, {{"cpus", 1}})};
  wish.labels.push_back({"zone", LabelRule::Op::kIn, {"nowhere"}});
  EXPECT_EQ(place_group(wish, {0}, {}, cluster.nodes).failure->what,
            "bundle 0 (cpus=1) finds no node with the labels asked for: label zone in(nowhere) wanted, \"even\" there");
}

TEST(Placement, ASecondTryPutsTheLargestFirst) {
  const Cluster cluster("small-dgx", 2);
  // In rank order the small ones would take the room that the large one needs.
  std::vector<base::Resources> bundles = times(2, {{"cpus", 4}});
  bundles.push_back(res({{"cpus", 8}}));
  EXPECT_EQ(cluster.show(cluster.place(GroupStrategy::kSpread, "node", bundles)), "n1:0-3 n1:4-7 n0:0-7");
}

TEST(Placement, PutsLostBundlesBesideThoseThatAreLeft) {
  Cluster cluster("small-dgx");
  GroupWish wish{GroupStrategy::kStrictSpread, LevelName::parse("node"), {}, times(3, {{"cpus", 8}})};
  Placement first = place_group(wish, {0, 1, 2}, {}, cluster.nodes);
  ASSERT_FALSE(first.failure);
  // n1 dies with bundle 1; the others stay.
  std::vector<PlacedBundle> left{first.bundles[0], first.bundles[2]};
  for (const PlacedBundle& b : left) cluster.nodes[cluster.index(b.node)].room.take(wish.bundles[0], b.pieces);
  const NodeId dead = first.bundles[1].node;
  std::erase_if(cluster.nodes, [&](const auto& n) { return n.room.node() == dead; });
  const Placement second = place_group(wish, {1}, left, cluster.nodes);
  ASSERT_FALSE(second.failure) << second.failure->what;
  EXPECT_EQ(second.bundles[0].node, id<NodeId>(4));
  wish.strategy = GroupStrategy::kStrictPack;
  wish.level = LevelName::parse("switch");
  EXPECT_TRUE(place_group(wish, {1}, {left[0]}, cluster.nodes).failure) << "n1 was the switch's other node";
}

TEST(Placement, ANodeThatOffersMoreCpusThanItHasPusBindsNothing) {
  const Topology topology = Topology::flat(CpuSet::range(0, 2));
  std::vector<PlacementNode> nodes{{NodeRoom(id<NodeId>(1), topology, res({{"cpus", 8}})), {}}};
  GroupWish wish{GroupStrategy::kPack, LevelName::parse("numa"), {}, times(8, {{"cpus", 1}})};
  const Placement placement = place_group(wish, {0, 1, 2, 3, 4, 5, 6, 7}, {}, nodes);
  ASSERT_FALSE(placement.failure) << placement.failure->what;
  for (const PlacedBundle& b : placement.bundles) EXPECT_TRUE(b.pieces.pus.empty());
}

TEST(NodeRoomTest, WhatIsGivenBackIsAllThereAgain) {
  const Cluster cluster("dgx-h100", 1);
  NodeRoom room = cluster.nodes[0].room;
  const auto shape = res({{"cpus", 7}, {"gpus", 3}});
  const CpuSet all = cluster.topology().all_pus();
  const auto pieces = room.choose(shape, all);
  ASSERT_TRUE(pieces);
  EXPECT_EQ(pieces->gpus, (std::vector<std::uint16_t>{0, 1, 2}));
  EXPECT_TRUE(room.has(shape, *pieces));
  room.take(shape, *pieces);
  EXPECT_FALSE(room.has(shape, *pieces));
  room.give_back(shape, *pieces);
  EXPECT_EQ(room.free_pus(), all);
  EXPECT_EQ(room.room(), cluster.nodes[0].room.room());
  EXPECT_FALSE(room.choose(res({{"gpus", 1.5}}), all));
}

}  // namespace
}  // namespace mobula::scheduler
