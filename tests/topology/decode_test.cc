#include <gtest/gtest.h>

#include "core/base/limits.h"
#include "core/base/topology.h"

namespace mobula::base {
namespace {

Topology two_cores() {
  Topology out = Topology::flat(CpuSet::range(0, 2));
  out.gpus.resize(1);
  out.gpus[0].name = "cuda0";
  out.gpus[0].near = CpuSet::range(0, 1);
  return out;
}

Result<Topology> through_the_wire(const Topology& topology) { return Topology::decode(as_bytes(topology.encode())); }

TEST(TopologyDecodeTest, WhatWasEncodedDecodesTheSame) {
  const auto again = through_the_wire(two_cores());
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, two_cores());
}

TEST(TopologyDecodeTest, AnIndexBeyondWhatIsThereIsRefused) {
  for (std::uint16_t Topology::Pu::*index : {&Topology::Pu::core, &Topology::Pu::l3, &Topology::Pu::package}) {
    Topology topology = two_cores();
    topology.pus.back().*index = 65'535;  // As many domains would be counted: none, in 16 bits.
    EXPECT_FALSE(through_the_wire(topology));
  }
}

TEST(TopologyDecodeTest, MoreDevicesThanANodeMayHaveResourcesAreRefused) {
  Topology topology = two_cores();
  topology.gpus.resize(kResourcesPerNodeMax + 1, topology.gpus[0]);
  EXPECT_FALSE(through_the_wire(topology));
}

TEST(TopologyDecodeTest, ADeviceOfAnotherKindThanItsListIsRefused) {
  Topology topology = two_cores();
  topology.nics = topology.gpus;  // Drawn as a GPU that is not there.
  EXPECT_FALSE(through_the_wire(topology));
  topology = two_cores();
  topology.gpus[0].kind = static_cast<Topology::Device::Kind>(7);
  EXPECT_FALSE(through_the_wire(topology));
}

}  // namespace
}  // namespace mobula::base
