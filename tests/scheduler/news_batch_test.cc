#include "scheduler/news_batch.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
static_assert(base::Machine<NewsBatch>);
namespace {

using std::chrono::milliseconds;

struct NewsBatchTest : testing::Test {
  NewsBatch machine{{.pause = milliseconds(1), .pause_per_reader = milliseconds(1)}};

  std::size_t news(int ms, std::size_t readers) {
    std::vector<NewsOutput> out;
    machine.step(at(ms), {readers}, out);
    EXPECT_TRUE(machine.is_valid());
    return out.size();
  }
  std::size_t tick(int ms) {
    std::vector<NewsOutput> out;
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return out.size();
  }
};

TEST_F(NewsBatchTest, WhatComesAfterAPauseIsToldAtOnce) {
  EXPECT_EQ(news(0, 4), 1u);
  EXPECT_FALSE(machine.next_deadline());
  EXPECT_EQ(news(5, 4), 1u);
}

TEST_F(NewsBatchTest, WhatComesWithinAPauseIsToldTogetherAtItsEnd) {
  EXPECT_EQ(news(0, 4), 1u);
  EXPECT_EQ(news(1, 4), 0u);
  EXPECT_EQ(news(4, 4), 0u);
  EXPECT_EQ(machine.next_deadline(), at(5));
  EXPECT_EQ(tick(4), 0u);
  EXPECT_EQ(tick(5), 1u);
  EXPECT_EQ(tick(100), 0u);
  EXPECT_FALSE(machine.next_deadline());
}

TEST_F(NewsBatchTest, HowOftenEachReaderIsToldDoesNotGrowWithTheNumberOfReaders) {
  for (const int nodes : {10, 100, 1000}) {
    NewsBatch batch{{.pause = milliseconds(1), .pause_per_reader = milliseconds(1)}};
    std::vector<NewsOutput> out;
    for (int i = 0; i < nodes; ++i) {
      batch.tick(at(i), out);
      batch.step(at(i), {static_cast<std::size_t>(i)}, out);  // One joins each millisecond.
    }
    EXPECT_LE(out.size(), 12u) << nodes;  // The pauses double while the readers do.
  }
}

}  // namespace
}  // namespace mobula::scheduler
