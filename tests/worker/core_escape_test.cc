// How a waiting thread leaves a core that it shares with whom it waits for, and the pace at which it waits.
#include "core/worker/core_escape.h"

#include <gtest/gtest.h>

#include "core/os/affinity.h"
#include "core/os/current_cpu.h"
#include "core/os/event_loop.h"
#include "core/worker/spin_pace.h"

namespace mobula::runtime {
namespace {

TEST(LeaveCurrentCpu, MovesAndKeepsTheSetOfCpus) {
  const auto allowed = os::cpus_allowed();
  if (allowed.size() < 2) {
    EXPECT_FALSE(os::leave_current_cpu());
    GTEST_SKIP() << "one CPU: there is no other";
  }
  bool moved = false;
  for (int i = 0; i < 1000 && !moved; ++i) {  // The kernel may put us back at once, but not each time.
    const unsigned before = os::current_cpu();
    ASSERT_TRUE(os::leave_current_cpu());
    moved = os::current_cpu() != before;
  }
  EXPECT_TRUE(moved);
  EXPECT_EQ(os::cpus_allowed(), allowed);
}

TEST(LeaveCurrentCpu, StaysWhereTheUserHasBoundIt) {
  const auto allowed = os::cpus_allowed();
  ASSERT_TRUE(os::allow_cpus({allowed.front()}));
  EXPECT_FALSE(os::leave_current_cpu());
  EXPECT_EQ(os::cpus_allowed(), std::vector{allowed.front()});
  ASSERT_TRUE(os::allow_cpus(allowed));
}

TEST(CoreEscape, LeavesAfterDozensInARowAndThenNotSoonAgain) {
  if (os::cpus_allowed().size() < 2) GTEST_SKIP() << "one CPU: there is no other";
  CoreEscape escape;
  const auto start = os::now();
  int waits = 1;
  while (!escape.shared()) ASSERT_LT(++waits, 200);
  EXPECT_GE(waits, 32);
  // The pause of 4 ms may have passed for one of the next calls, which then doubles it.
  int again = 0;
  for (int i = 0; i < 1000; ++i) {
    if (escape.shared()) ++again;
  }
  if (os::now() - start < std::chrono::milliseconds(4)) {
    EXPECT_EQ(again, 0);
  }
}

TEST(CoreEscape, CountsOnlyWhatComesInARow) {
  CoreEscape escape;
  for (int i = 0; i < 1000; ++i) {
    for (int k = 0; k < 31; ++k) EXPECT_FALSE(escape.shared());
    escape.apart();
  }
}

TEST(SpinPace, WithoutATokenYieldsEachTimeAndSleepsInTheEnd) {
  SpinPace pace;
  pace.begin(false);
  auto turn = pace.turn();
  while (turn == SpinPace::Turn::kYielded) turn = pace.turn();
  EXPECT_EQ(turn, SpinPace::Turn::kSleep);
}

TEST(SpinPace, WithATokenPollsBeforeItYieldsAndSleepsInTheEnd) {
  SpinPace pace;
  pace.begin(true);
  EXPECT_EQ(pace.turn(), SpinPace::Turn::kPoll);
  int polls = 1, yields = 0;
  for (auto turn = pace.turn(); turn != SpinPace::Turn::kSleep; turn = pace.turn()) {
    (turn == SpinPace::Turn::kPoll ? polls : yields)++;
  }
  EXPECT_GT(polls, yields);
}

TEST(SpinPace, WhatIsFoundBeginsTheBudgetAnew) {
  SpinPace pace;
  pace.begin(false);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_NE(pace.turn(), SpinPace::Turn::kSleep) << i;
    pace.found();
  }
}

}  // namespace
}  // namespace mobula::runtime
