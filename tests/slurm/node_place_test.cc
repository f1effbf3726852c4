#include "slurm/node_place.h"

#include <gtest/gtest.h>

namespace mobula::slurm {
namespace {

using Labels = std::map<std::string, std::string>;

Labels place(std::string_view address, std::string_view pattern) {
  auto labels = node_place(address, pattern);
  if (!labels) {
    ADD_FAILURE() << labels.error().what;
    return {};
  }
  return *labels;
}

TEST(NodePlace, ATreeGivesTheLeafSwitchAndTheSpine) {
  EXPECT_EQ(place("root.s2.n3", "switch.switch.node"),
            (Labels{{"mobula.topology/switch", "s2"}, {"mobula.topology/spine", "root"}}));
  EXPECT_EQ(place("s6.s4.s0.tux3", "switch.switch.switch.node"),
            (Labels{{"mobula.topology/switch", "s0"}, {"mobula.topology/spine", "s6"}}));
  EXPECT_EQ(place("s0.n1", "switch.node"), (Labels{{"mobula.topology/switch", "s0"}}));
}

TEST(NodePlace, SeveralPathsAreOneDomain) {
  EXPECT_EQ(place("s[8-9].s[0-3].n1", "switch.switch.node"),
            (Labels{{"mobula.topology/switch", "s[0-3]"}, {"mobula.topology/spine", "s[8-9]"}}));
}

TEST(NodePlace, ABlockIsAnNvlinkDomain) {
  EXPECT_EQ(place("b1.gpu7", "block.node"), (Labels{{"mobula.topology/nvlink", "b1"}}));
}

TEST(NodePlace, RingsAndToriGiveCoordinates) {
  EXPECT_EQ(place("ring0:3.n1", "ring:position.node"), (Labels{{"slurm.ring", "ring0"}, {"slurm.ring.position", "3"}}));
  EXPECT_EQ(place("t:1:2:3.n1", "torus:x:y:z.node"),
            (Labels{{"slurm.torus", "t"}, {"slurm.torus.x", "1"}, {"slurm.torus.y", "2"}, {"slurm.torus.z", "3"}}));
}

TEST(NodePlace, AFlatNetworkAndOneThatIsNotKnownGiveNoLabels) {
  EXPECT_EQ(place("n1", "node"), Labels{});
  EXPECT_EQ(place("", ""), Labels{});
}

TEST(NodePlace, NamesOfNodesMayHaveDots) {
  EXPECT_EQ(place("s0.n1.cluster.example", "switch.node"), (Labels{{"mobula.topology/switch", "s0"}}));
}

TEST(NodePlace, AnAddressThatDoesNotFitIsAnError) {
  const std::pair<const char*, const char*> bad[] = {{"n1", "switch.node"},
                                                     {"s0.n1", ""},
                                                     {"", "switch.node"},
                                                     {"s0.n1", "switch.switch"},
                                                     {".n1", "switch.node"},
                                                     {"ring0.n1", "ring:position.node"},
                                                     {"t:1:2.n1", "torus:x:y:z.node"},
                                                     {"t:1:2:3:4.n1", "torus:x:y:z.node"}};
  for (const auto& [address, pattern] : bad)
    EXPECT_FALSE(node_place(address, pattern).ok()) << address << " " << pattern;
}

}  // namespace
}  // namespace mobula::slurm
