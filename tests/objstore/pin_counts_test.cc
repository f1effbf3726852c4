#include "objstore/logic/pin_counts.h"

#include <cstdint>
#include <iterator>
#include <map>
#include <random>

#include <gtest/gtest.h>

namespace mobula::objstore {
namespace {

TEST(PinCounts, CountsEachEntryByItself) {
  PinCounts counts;
  counts.add(7);
  counts.add(7);
  counts.add(0);
  EXPECT_EQ(counts.of(7), 2u);
  EXPECT_EQ(counts.of(0), 1u);
  EXPECT_EQ(counts.of(8), 0u);
  EXPECT_EQ(counts.remove(7), 1u);
  EXPECT_EQ(counts.remove(0), 0u);
  EXPECT_EQ(counts.of(0), 0u);
  EXPECT_EQ(counts.size(), 1u);
}

// Against a map, with so many entries that runs form, wrap round the end and are closed again.
TEST(PinCounts, AgreesWithAMapWhateverIsAddedAndRemoved) {
  std::minstd_rand engine(20261124);
  const auto random = [&] { return static_cast<std::uint32_t>(engine() >> 4); };
  for (int round = 0; round < 200; ++round) {
    PinCounts counts;
    std::map<std::uint32_t, std::uint32_t> model;
    const std::uint32_t entries = 1 + random() % 400;
    for (int step = 0; step < 2000; ++step) {
      if (model.empty() || random() % 100 < (step < 1000 ? 60u : 40u)) {
        const std::uint32_t entry = random() % entries * 0x0101'0101u;
        counts.add(entry);
        ++model[entry];
      } else {
        const auto it = std::next(model.begin(), random() % model.size());
        const std::uint32_t left = counts.remove(it->first);
        ASSERT_EQ(left, --it->second);
        if (left == 0) model.erase(it);
      }
      ASSERT_EQ(counts.size(), model.size());
    }
    ASSERT_TRUE(counts.is_valid());
    for (std::uint32_t e = 0; e < entries; ++e) {
      const auto it = model.find(e * 0x0101'0101u);
      ASSERT_EQ(counts.of(e * 0x0101'0101u), it == model.end() ? 0u : it->second);
    }
  }
}

}  // namespace
}  // namespace mobula::objstore
