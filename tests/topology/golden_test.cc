#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/os/topology.h"
#include "tests/topology/machines.h"

namespace mobula {
namespace {

using base::CpuSet;
using base::Topology;
using base::TopologyLevel;
using os::TopologySource;

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, DrawingIsTheOneOnFile) {
  const Topology topology = test::machine(GetParam());
  const std::string path = test::topology_tests() + "/golden/" + GetParam() + ".txt";
  const char* write = std::getenv("MOBULA_GOLDEN");
  if (write != nullptr && std::string(write) == "write") std::ofstream(path) << topology.draw();
  std::ifstream file(path);
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(topology.draw(), expected.str()) << "MOBULA_GOLDEN=write writes " << path << " anew";
}

TEST_P(Golden, TravelsAsBytesUnchanged) {
  const Topology topology = test::machine(GetParam());
  const std::string bytes = topology.encode();
  const auto back = Topology::decode(base::as_bytes(bytes));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(*back, topology);
  EXPECT_LT(bytes.size(), 8192u);
  for (std::size_t n = 0; n < bytes.size(); n += 7) {
    EXPECT_FALSE(Topology::decode(base::as_bytes(std::string_view(bytes).substr(0, n)))) << n << " bytes";
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, Golden,
                         testing::Values("dual-epyc-9654", "dual-epyc-9654-nps4", "dual-sapphire-rapids", "dgx-h100",
                                         "small-dgx", "limited-cpuset"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(Discovery, CountsWhatEachLevelHas) {
  const Topology epyc = test::machine("dual-epyc-9654");
  EXPECT_EQ(epyc.pus.size(), 384u);
  EXPECT_EQ(epyc.count(TopologyLevel::kCore), 192);
  EXPECT_EQ(epyc.count(TopologyLevel::kL3), 24);
  EXPECT_EQ(epyc.count(TopologyLevel::kNuma), 2);
  EXPECT_EQ(epyc.count(TopologyLevel::kPackage), 2);
  EXPECT_EQ(epyc.pus_of(TopologyLevel::kL3, 1).to_string(), "16-31");
  EXPECT_EQ(epyc.numas_of(CpuSet::range(190, 2)).to_string(), "0");
  EXPECT_EQ(epyc.numas_of(CpuSet::range(191, 2)).to_string(), "0-1");
}

TEST(Discovery, KnowsTheNicThatSharesASwitchWithAGpu) {
  const Topology dgx = test::machine("dgx-h100");
  ASSERT_EQ(dgx.gpus.size(), 8u);
  ASSERT_EQ(dgx.nics.size(), 8u);
  for (std::uint16_t gpu = 0; gpu < 8; ++gpu) {
    EXPECT_EQ(dgx.nics_near_gpu(gpu).front(), gpu);
    EXPECT_EQ(dgx.nics[dgx.nics_near_gpu(gpu)[3]].near, dgx.gpus[gpu].near);
    EXPECT_EQ(dgx.gpus[gpu].near, dgx.pus_of(TopologyLevel::kPackage, gpu < 4 ? 0 : 1));
  }
  EXPECT_EQ(dgx.gpu_links.at(1), 450'000u);
  EXPECT_EQ(dgx.gpus[3].uuid, "GPU-00000000-0000-0000-0000-000000000003");
}

TEST(Discovery, SeesOnlyTheCpusetThatTheJobWasGiven) {
  const Topology limited = test::machine("limited-cpuset");
  EXPECT_EQ(limited.all_pus().to_string(), "4-11");
  EXPECT_EQ(limited.count(TopologyLevel::kPackage), 1);
  EXPECT_EQ(limited.pus.front().core, 0) << "indices count what may be used";
}

TEST(Discovery, StaysInsideTheAffinityOfThisProcess) {
  const CpuSet all = os::affinity();
  const auto found = os::discover_topology({});
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_TRUE(found->of_this_machine);
  EXPECT_TRUE(found->topology.is_valid());
  EXPECT_EQ(found->topology.all_pus(), all);
}

TEST(Discovery, ReadsADescriptionAndRefusesAWrongOne) {
  const auto found = os::discover_topology({TopologySource::Kind::kSynthetic, "pack:2 [numa] l3:2 core:2 pu:2"});
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->topology.pus.size(), 16u);
  EXPECT_FALSE(found->of_this_machine);
  EXPECT_FALSE(os::discover_topology({TopologySource::Kind::kSynthetic, "pack:two"}));
  EXPECT_FALSE(os::discover_topology({TopologySource::Kind::kXml, "/no/such/file.xml"}));
}

TEST(Discovery, ObeysHwlocsOwnVariables) {
  ::setenv("HWLOC_SYNTHETIC", "pack:1 [numa] l3:1 core:3 pu:1", 1);
  const auto found = os::discover_topology({});
  ::unsetenv("HWLOC_SYNTHETIC");
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->topology.pus.size(), 3u);
  EXPECT_FALSE(found->of_this_machine);
}

TEST(Discovery, SettingSaysWhereTheTopologyComesFrom) {
  EXPECT_EQ(TopologySource::parse("auto")->kind, TopologySource::Kind::kMachine);
  EXPECT_EQ(TopologySource::parse("off")->kind, TopologySource::Kind::kFlat);
  EXPECT_EQ(TopologySource::parse("xml:/a.xml")->text, "/a.xml");
  EXPECT_EQ(TopologySource::parse("synthetic:pu:2")->text, "pu:2");
  EXPECT_FALSE(TopologySource::parse("xml:"));
  EXPECT_FALSE(TopologySource::parse("nonsense"));
}

}  // namespace
}  // namespace mobula
