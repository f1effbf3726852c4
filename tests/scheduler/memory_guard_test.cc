#include "scheduler/memory_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kMib = 1u << 20;
constexpr MemoryLook kFull{1000 * kMib, 960 * kMib}, kHalf{1000 * kMib, 500 * kMib};
const auto kOne = id<base::WorkerId>(1), kTwo = id<base::WorkerId>(2);

MemoryUser user(std::uint64_t worker, const base::WorkerId& owner, bool retriable, int since_ms, std::uint64_t mib) {
  return {id<base::WorkerId>(worker), owner, retriable, at(since_ms), mib * kMib};
}

TEST(MemoryGuard, EndsTheNewestThatIsRunAgainOfTheOwnerWithMost) {
  MemoryGuard guard({});
  const std::vector<MemoryUser> users{user(10, kOne, true, 1, 300), user(11, kOne, true, 3, 100),
                                      user(12, kOne, true, 2, 200), user(13, kTwo, true, 9, 350),
                                      user(14, kOne, false, 8, 250)};
  const auto victim = guard.choose(at(100), kFull, users);
  ASSERT_TRUE(victim);
  EXPECT_EQ(victim->worker, id<base::WorkerId>(11));
  EXPECT_THAT(victim->why, HasSubstr("960 MiB of 1000 MiB"));
  EXPECT_THAT(victim->why, HasSubstr("it held 100 MiB"));
  EXPECT_THAT(victim->why, HasSubstr("newest of 4 workers of its owner with 850 MiB"));
}

TEST(MemoryGuard, TakesIdleWorkersFirstAndWhatIsNotRunAgainLast) {
  MemoryGuard guard({});
  EXPECT_EQ(guard.choose(at(0), kFull, {user(1, kOne, true, 5, 900), user(2, {}, false, 1, 30)})->worker,
            id<base::WorkerId>(2));
  EXPECT_EQ(MemoryGuard({}).choose(at(0), kFull, {user(1, kOne, true, 5, 900), user(2, {}, false, 1, 3)})->worker,
            id<base::WorkerId>(1))
      << "an idle one without memory frees nothing";
  EXPECT_EQ(guard.choose(at(2000), kFull, {user(1, kOne, false, 9, 900), user(2, kTwo, true, 1, 10)})->worker,
            id<base::WorkerId>(2));
  EXPECT_EQ(guard.choose(at(4000), kFull, {user(1, kOne, false, 1, 900), user(2, kOne, false, 9, 10)})->worker,
            id<base::WorkerId>(2));
}

TEST(MemoryGuard, EndsNobodyWhileThereIsRoomNorBeforeTheLastOnesMemoryHadTimeToComeBack) {
  MemoryGuard guard({});
  const std::vector<MemoryUser> users{user(1, kOne, true, 1, 100)};
  EXPECT_FALSE(guard.choose(at(0), kHalf, users));
  EXPECT_TRUE(guard.choose(at(1), kFull, users));
  EXPECT_FALSE(guard.choose(at(500), kFull, users));
  EXPECT_TRUE(guard.choose(at(501), kFull, users));
  EXPECT_FALSE(guard.choose(at(9000), kFull, {}));
  EXPECT_FALSE(MemoryGuard({}).is_short({1'000'000 * kMib, 960'000 * kMib})) << "four GiB are enough to be free";
  MemoryGuard off({.percent = 0});
  EXPECT_FALSE(off.choose(at(0), kFull, users));
}

}  // namespace
}  // namespace mobula::scheduler
