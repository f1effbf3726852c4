#include <gtest/gtest.h>

#include "core/base/topology.h"

namespace mobula::base {
namespace {

TEST(CpuSetTest, IsReadAndPrintedAsTheKernelDoes) {
  EXPECT_EQ(CpuSet::parse("0-3,8,70-71")->to_string(), "0-3,8,70-71");
  EXPECT_EQ(CpuSet::parse("")->to_string(), "");
  for (const char* wrong : {"a", "3-1", "1,,2", "-", "1-", "99999999", "65536"}) EXPECT_FALSE(CpuSet::parse(wrong));
}

TEST(CpuSetTest, SetsThatAreEqualCompareEqual) {
  CpuSet a = CpuSet::range(0, 130);
  a -= CpuSet::range(2, 128);
  EXPECT_EQ(a, CpuSet::range(0, 2));
  EXPECT_TRUE(CpuSet::range(0, 64).covers(a));
  EXPECT_FALSE(a.covers(CpuSet::range(1, 2)));
  EXPECT_EQ((CpuSet::range(0, 4) & CpuSet::range(2, 100)).to_string(), "2-3");
  EXPECT_EQ((CpuSet::range(0, 1) | CpuSet::range(100, 1)).count(), 2u);
  EXPECT_EQ(CpuSet::range(100, 2).first(), 100u);
  a.remove(1);
  a.remove(0);
  EXPECT_TRUE(a.empty());
}

TEST(LevelNameTest, AboveTheNodeALevelIsALabel) {
  EXPECT_EQ(LevelName::parse("numa"), (LevelName{TopologyLevel::kNuma, ""}));
  EXPECT_EQ(LevelName::parse("switch"), (LevelName{TopologyLevel::kSwitch, "mobula.topology/switch"}));
  EXPECT_EQ(LevelName::parse("zone"), (LevelName{TopologyLevel::kLabel, "zone"}));
  for (const char* name : {"core", "l3", "numa", "package", "node", "nvlink", "switch", "spine", "rack", "zone"}) {
    EXPECT_EQ(LevelName::parse(name).to_string(), name);
  }
}

TEST(TopologyTest, BytesThatAreNoTopologyAreRefused) {
  Topology wrong = Topology::flat(CpuSet::range(0, 2));
  wrong.pus[1].numa = 7;
  EXPECT_FALSE(Topology::decode(as_bytes(wrong.encode())));
  EXPECT_FALSE(Topology::decode(as_bytes("no topology at all")));
}

}  // namespace
}  // namespace mobula::base
