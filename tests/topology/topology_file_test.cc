#include "core/base/topology_file.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr const char* kFile = R"(
# four leaves, one spine
SwitchName=s0 Nodes=n[0-1] LinkSpeed=100
SwitchName=s1 Nodes=n[2-3]
switchname=s2 nodes=n[04-05]   # zeros count
SwitchName=mid Switches=s[0-1]
SwitchName=top Switches=mid,s2
BlockName=b0 Nodes=n[0-2]
RackName=r0 Nodes=n0
)";

TEST(HostListTest, ExpandsAsSlurmDoes) {
  EXPECT_EQ(*expand_host_list("n[0-2,07],login"), (std::vector<std::string>{"n0", "n1", "n2", "n07", "login"}));
  EXPECT_EQ(*expand_host_list("n[08-10]"), (std::vector<std::string>{"n08", "n09", "n10"}));
  for (const char* wrong : {"n[", "n[a]", "n[3-1]", "n[0-999999999]", "n]", ","}) EXPECT_FALSE(expand_host_list(wrong));
}

TEST(TopologyFileTest, ANodeHasTheSwitchesAboveIt) {
  EXPECT_EQ(*topology_file_labels(kFile, {"n0"}), (Labels{{"mobula.topology/switch", "s0"},
                                                          {"mobula.topology/spine", "top"},
                                                          {"mobula.topology/nvlink", "b0"},
                                                          {"mobula.topology/rack", "r0"}}));
  EXPECT_EQ(*topology_file_labels(kFile, {"host", "n04"}),
            (Labels{{"mobula.topology/switch", "s2"}, {"mobula.topology/spine", "top"}}));
  EXPECT_EQ(*topology_file_labels(kFile, {"n4"}), Labels{}) << "n4 is not n04";
}

TEST(TopologyFileTest, SwitchesThatHoldEachOtherEndTheClimb) {
  const auto labels = topology_file_labels("SwitchName=a Nodes=n0 Switches=b\nSwitchName=b Switches=a\n", {"n0"});
  ASSERT_TRUE(labels);
  EXPECT_EQ(labels->at("mobula.topology/spine"), "b");
}

TEST(TopologyFileTest, WhatIsNoKeyAndValueIsRefused) {
  EXPECT_FALSE(topology_file_labels("SwitchName=s0 Nodes\n", {"n0"}));
  EXPECT_FALSE(topology_file_labels("SwitchName=s0 Nodes=n[\n", {"n0"}));
}

TEST(TopologyFileTest, AFileCannotStandForMoreNamesThanOneListMayHave) {
  const std::string line = "SwitchName=s0 Nodes=n[1-60000]\n";
  EXPECT_TRUE(topology_file_labels(line, {"n7"}));
  EXPECT_FALSE(topology_file_labels(line + line, {"n7"}));
}

TEST(TopologyFileTest, TheLastOfAllNumbersEndsARange) {
  const auto names = expand_host_list("n[18446744073709551614-18446744073709551615]");
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"n18446744073709551614", "n18446744073709551615"}));
}

TEST(TopologyFileTest, NamesThatNoHostCanHaveAreRefused) {
  EXPECT_FALSE(expand_host_list(std::string(256, 'n')));
  EXPECT_FALSE(expand_host_list("n[" + std::string(300, '0') + "1-90000]"));
}

}  // namespace
}  // namespace mobula::base
