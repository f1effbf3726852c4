#include "core/base/ids.h"

#include <bit>
#include <unordered_set>

#include <gtest/gtest.h>

namespace mobula::base {
namespace {

TaskId root() { return TaskId::from_words(1, 2, 3, 0); }

TEST(Ids, DeriveTheSameFromTheSameParentAndCounter) {
  EXPECT_EQ((derive<TaskId>(root(), 5)), (derive<TaskId>(root(), 5)));
  EXPECT_NE((derive<TaskId>(root(), 5)), (derive<TaskId>(root(), 6)));
}

TEST(Ids, DoNotCollideOverManyTasksOfSeveralParents) {
  std::unordered_set<TaskId> seen;
  for (std::uint64_t parent = 0; parent < 20; ++parent) {
    const auto from = derive<TaskId>(root(), parent);
    for (std::uint64_t i = 0; i < 10'000; ++i) EXPECT_TRUE(seen.insert(derive<TaskId>(from, i)).second);
  }
}

TEST(Ids, OfObjectsLeadBackToTheirTask) {
  const auto task = derive<TaskId>(root(), 9);
  const auto result = object_of(task, 2);
  const auto put = object_of(task, kPutIndex + 1);
  EXPECT_NE(result, put);
  EXPECT_EQ(task_of(result), task);
  EXPECT_EQ(task_of(put), task);
  EXPECT_EQ(result.index(), 2u);
}

TEST(Ids, AreSpelledInHex) {
  EXPECT_EQ(NodeId::from_words(0x0807060504030201u, 0, 0, 0xffu).hex(),
            "0102030405060708"
            "0000000000000000"
            "0000000000000000"
            "ff000000");
  EXPECT_EQ(NodeId::from_words(0x0807060504030201u, 0, 0, 0).short_hex(), "010203040506");
}

TEST(Ids, TravelAsBytes) {
  const auto id = derive<ActorId>(root(), 1);
  EXPECT_EQ(ActorId::from_string(id.bytes()), id);
  EXPECT_FALSE(ActorId::from_string("short"));
  EXPECT_TRUE(ActorId{}.is_nil());
  EXPECT_FALSE(id.is_nil());
}

TEST(Ids, MixingChangesAboutHalfOfTheBitsForOneBit) {
  int flipped = 0;
  for (unsigned bit = 0; bit < 64; ++bit) flipped += std::popcount(mix64(12345) ^ mix64(12345 ^ (1ull << bit)));
  EXPECT_NEAR(flipped / 64.0, 32, 3);
}

}  // namespace
}  // namespace mobula::base
