#include "scheduler/submit.h"

#include <gtest/gtest.h>

#include "tests/scheduler/support.h"

namespace mobula::scheduler {
static_assert(base::Machine<SubmitMachine>);
static_assert(sizeof(SubmitInput) <= 64 && sizeof(SubmitOutput) <= 48);
namespace {

using Outcome = TaskFinished::Outcome;
using std::chrono::microseconds;
using std::chrono::milliseconds;

struct SubmitTest : testing::Test {
  SubmitMachine machine{SubmitLimits{}};
  std::vector<SubmitOutput> out;
  std::uint64_t grants = 0;

  std::vector<SubmitOutput> step(int ms, SubmitInput input) {
    out.clear();
    machine.step(at(ms), input, out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<SubmitOutput> tick(int ms) {
    out.clear();
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return out;
  }
  std::vector<SubmitOutput> submit(int ms, TaskHandle task, KeyIndex key = 0, std::uint32_t retries = 0) {
    return step(ms, Submit{task, key, retries});
  }
  std::vector<SubmitOutput> grant(int ms, WorkerHandle worker, KeyIndex key = 0) {
    ++grants;
    return step(ms, Granted{key, id<base::LeaseId>(grants), worker, grants, grants});
  }
  std::vector<SubmitOutput> done(int ms, TaskHandle task, WorkerHandle worker, base::Duration ran = microseconds(5),
                                 Outcome outcome = Outcome::kDone) {
    return step(ms, TaskFinished{worker, task, ran, outcome});
  }
};

TEST_F(SubmitTest, TheFirstTaskAsksForOneSlotAndIsPushedWhenItComes) {
  const auto asked = all<SetDemand>(submit(0, 1));
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].want, 1u);
  const auto pushed = grant(1, 7);
  EXPECT_EQ(all<AckGrant>(pushed).size(), 1u);
  ASSERT_EQ(all<Push>(pushed).size(), 1u);
  EXPECT_EQ(all<Push>(pushed)[0].worker, 7u);
}

TEST_F(SubmitTest, ASynchronousLoopReusesItsLeaseAndSaysNothingToTheRaylet) {
  submit(0, 1);
  grant(0, 0);
  done(0, 1, 0);
  for (int i = 1; i < 100; ++i) {
    const auto pushed = submit(i, 1);
    EXPECT_EQ(pushed.size(), 1u);
    EXPECT_EQ(all<Push>(pushed).size(), 1u);
    EXPECT_TRUE(done(i, 1, 0).empty());
  }
  EXPECT_TRUE(all<ReturnLease>(tick(598)).empty());
  const auto idle = tick(599);
  EXPECT_EQ(all<SetDemand>(idle).at(0).want, 0u);
  EXPECT_EQ(all<ReturnLease>(idle).size(), 1u);
  EXPECT_EQ(all<ReturnLease>(tick(1100)).size(), 1u);
  step(1101, ReturnAcked{all<ReturnLease>(idle)[0].lease});
  EXPECT_TRUE(all<ReturnLease>(tick(2000)).empty());
}

TEST_F(SubmitTest, DemandIsRepeatedUntilItIsAcknowledged) {
  const auto first = all<SetDemand>(submit(0, 1)).at(0);
  const auto again = all<SetDemand>(tick(500)).at(0);
  EXPECT_EQ(again.seq, first.seq);
  step(501, DemandAcked{0, first.seq});
  EXPECT_TRUE(all<SetDemand>(tick(5000)).empty());
}

TEST_F(SubmitTest, ShortTasksArePipelined) {
  for (TaskHandle t = 0; t < 100; ++t) submit(0, t);
  EXPECT_EQ(all<Push>(grant(0, 0)).size(), 1u);
  EXPECT_EQ(all<Push>(done(1, 0, 0, microseconds(5))).size(), 16u);
}

TEST_F(SubmitTest, LongTasksAreNotPipelined) {
  for (TaskHandle t = 0; t < 100; ++t) submit(0, t);
  grant(0, 0);
  EXPECT_EQ(all<Push>(done(1, 0, 0, milliseconds(5))).size(), 1u);
}

TEST_F(SubmitTest, ANewLeaseTakesItsShareAndTasksGoWhereTheFewestAre) {
  for (TaskHandle t = 0; t < 4; ++t) submit(0, t);
  grant(0, 0);
  grant(0, 1);
  const auto after = all<Push>(done(1, 0, 0, microseconds(5)));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].worker, 0u);
  EXPECT_EQ(machine.counts().in_flight, 3u);
}

TEST_F(SubmitTest, WhatWaitsBehindALongTaskIsTakenBackAndRunsElsewhere) {
  for (TaskHandle t = 0; t < 5; ++t) submit(0, t);
  grant(0, 0);
  done(0, 0, 0, microseconds(1));
  EXPECT_EQ(machine.counts().in_flight, 4u);
  EXPECT_EQ(all<TakeBack>(tick(2)).size(), 1u);
  for (TaskHandle t = 4; t >= 2; --t) step(3, TaskReturned{0, t});
  EXPECT_EQ(machine.counts().waiting, 3u);
  const auto pushed = all<Push>(grant(4, 1));
  ASSERT_FALSE(pushed.empty());
  EXPECT_EQ(pushed[0].task, 2u);
  EXPECT_EQ(pushed[0].worker, 1u);
}

TEST_F(SubmitTest, AWorkerWithALongTaskIsNoSlotForTheOthers) {
  submit(0, 0);
  grant(0, 0);
  done(0, 0, 0);  // Tasks of this key are short, one slot would do for many.
  submit(1, 1);
  submit(1, 2);
  const auto stalled = tick(4);
  EXPECT_EQ(all<TakeBack>(stalled).size(), 1u);
  const auto asked = all<SetDemand>(stalled);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].want, 2u);
  EXPECT_TRUE(all<Push>(step(5, TaskReturned{0, 2})).empty());
  EXPECT_EQ(all<Push>(grant(6, 1)).at(0).task, 2u);
  EXPECT_EQ(all<SetDemand>(done(7, 2, 1)).size(), 0u) << "two slots are held, two are wanted";
}

TEST_F(SubmitTest, ATaskThatWaitsForAWorkerWithALongOneGetsASlotOfItsOwn) {
  submit(0, 0);
  grant(0, 0);
  done(0, 0, 0, microseconds(150));  // Too long to be pipelined, short enough for one slot.
  submit(1, 1);
  EXPECT_TRUE(all<SetDemand>(submit(1, 2)).empty());
  ASSERT_TRUE(machine.next_deadline().has_value());
  EXPECT_LE(*machine.next_deadline(), at(3));
  const auto asked = all<SetDemand>(tick(3));
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].want, 2u);
}

TEST_F(SubmitTest, TheTasksOfALostWorkerAreRetriedWhileRetriesAreLeft) {
  submit(0, 1, 0, 1);
  grant(0, 0);
  const auto lost = step(1, WorkerLost{0});
  EXPECT_EQ(all<Retry>(lost).at(0).attempt, 1u);
  EXPECT_EQ(all<ReturnLease>(lost).at(0).fate, WorkerFate::kSpent);
  EXPECT_TRUE(step(2, WorkerLost{0}).empty());
  tick(21);
  EXPECT_EQ(all<Push>(grant(22, 1)).at(0).attempt, 1u);
  const auto again = all<Fail>(step(23, WorkerLost{1}));
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].why, Fail::Why::kWorkerDied);
}

TEST_F(SubmitTest, TasksThatHadNotBegunRunAgainForFreeAndInOrder) {
  for (TaskHandle t = 0; t < 5; ++t) submit(0, t);
  grant(0, 0);
  done(0, 0, 0);
  const auto lost = step(1, WorkerLost{0, 1});
  ASSERT_EQ(all<Fail>(lost).size(), 1u);
  EXPECT_EQ(all<Fail>(lost)[0].task, 1u);
  const auto pushed = all<Push>(grant(2, 1));
  ASSERT_EQ(pushed.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(pushed[i].task, i + 2);
    EXPECT_EQ(pushed[i].attempt, 0u);
  }
}

TEST_F(SubmitTest, ATaskErrorIsRetriedAndThenTheTasksOwn) {
  submit(0, 1, 0, 1);
  grant(0, 0);
  EXPECT_EQ(all<Retry>(done(1, 1, 0, microseconds(5), Outcome::kAgain)).size(), 1u);
  EXPECT_EQ(all<Push>(tick(1)).size(), 1u);
  EXPECT_EQ(all<Fail>(done(2, 1, 0, microseconds(5), Outcome::kAgain)).at(0).why, Fail::Why::kTaskError);
}

TEST_F(SubmitTest, ACancelledTaskEndsOnceWhereverItIs) {
  submit(0, 1);
  EXPECT_EQ(all<Fail>(step(0, Cancel{1})).at(0).why, Fail::Why::kCancelled);
  submit(1, 2, 0, 5);
  grant(1, 0);
  EXPECT_EQ(all<CancelRunning>(step(2, Cancel{2})).at(0).worker, 0u);
  EXPECT_TRUE(step(2, Cancel{2}).empty());
  EXPECT_EQ(all<Fail>(step(3, WorkerLost{0})).at(0).why, Fail::Why::kCancelled);
  EXPECT_TRUE(step(4, Cancel{2}).empty());
}

TEST_F(SubmitTest, ARecalledLeaseIsReturnedWhenWhatWasPushedHasEnded) {
  submit(0, 1);
  submit(0, 2);
  grant(0, 0);
  EXPECT_TRUE(all<ReturnLease>(step(1, Recalled{0})).empty());
  EXPECT_TRUE(all<Push>(submit(2, 3)).empty());
  EXPECT_EQ(all<ReturnLease>(done(3, 1, 0)).size(), 1u);
}

TEST_F(SubmitTest, AnIdleLeaseIsReturnedWhenAnotherKeyStarves) {
  submit(0, 1, 0);
  grant(0, 0, 0);
  done(0, 1, 0);
  submit(1, 2, 1);
  EXPECT_TRUE(all<ReturnLease>(tick(2)).empty());
  EXPECT_EQ(all<ReturnLease>(tick(3)).size(), 1u);
}

TEST_F(SubmitTest, AnUnschedulableKeyFailsItsTasksAndAStaleAnswerFailsNone) {
  submit(0, 1);
  submit(0, 2);
  EXPECT_TRUE(step(1, KeyUnschedulable{0, 1}).empty());
  const auto failed = all<Fail>(step(1, KeyUnschedulable{0, 2}));
  ASSERT_EQ(failed.size(), 2u);
  EXPECT_EQ(failed[0].why, Fail::Why::kUnschedulable);
}

TEST_F(SubmitTest, ARepeatedGrantIsAcknowledgedAndNotCounted) {
  submit(0, 1);
  grant(0, 0);
  const auto again = step(1, Granted{0, id<base::LeaseId>(1), 0, 1, 1});
  EXPECT_EQ(again.size(), 1u);
  EXPECT_EQ(machine.counts().leases, 1u);
}

TEST_F(SubmitTest, ManyTasksAskInFewMessagesAndShortOnesForFewSlots) {
  std::size_t demands = 0;
  for (TaskHandle t = 0; t < 20'000; ++t) {
    out.clear();
    machine.submit(at(0), {t, 0, 0}, out);
    demands += all<SetDemand>(out).size();
  }
  EXPECT_LE(demands, 14u);
  grant(1, 0);
  std::uint32_t want = 16'384;
  for (TaskHandle t = 0; t < 1000; ++t) {
    out.clear();
    machine.finished(at(2), {0, t, microseconds(2), Outcome::kDone}, out);
    for (const SetDemand& d : all<SetDemand>(out)) want = d.want;
  }
  EXPECT_LE(want, 16u);
}

using std::chrono::seconds;

struct TimedSubmitTest : SubmitTest {
  // A task of this key runs for ten seconds.
  std::vector<SubmitOutput> submit_timed(int ms, TaskHandle task, KeyIndex key = 0) {
    return step(ms, Submit{task, key, 0, seconds(10)});
  }
  std::vector<SubmitOutput> ends(int ms, std::optional<base::Time> when) { return step(ms, ClusterEnds{when}); }
  static std::vector<TaskHandle> late(const std::vector<SubmitOutput>& out) {
    std::vector<TaskHandle> tasks;
    for (const Fail& f : all<Fail>(out)) {
      EXPECT_EQ(f.why, Fail::Why::kNoTime);
      tasks.push_back(f.task);
    }
    return tasks;
  }
};

TEST_F(TimedSubmitTest, ATaskThatCannotEndBeforeTheClusterIsNotStarted) {
  ends(0, at(9'999));
  EXPECT_EQ(late(submit_timed(0, 1)), std::vector<TaskHandle>{1});
  EXPECT_TRUE(all<SetDemand>(submit_timed(0, 2)).empty());
  ends(0, at(10'000));
  EXPECT_TRUE(late(submit_timed(0, 3)).empty());
  EXPECT_EQ(all<Push>(grant(0, 7)).size(), 1u);
}

TEST_F(TimedSubmitTest, ATaskThatWaitsFailsWhenItBecomesTooLateForIt) {
  ends(0, at(20'000));
  submit_timed(0, 1);
  submit_timed(1, 2);
  EXPECT_TRUE(late(tick(10'000)).empty());
  ASSERT_TRUE(machine.next_deadline().has_value());
  EXPECT_LE(*machine.next_deadline(), at(10'001));
  EXPECT_EQ(late(tick(10'001)), (std::vector<TaskHandle>{1, 2}));
  EXPECT_EQ(machine.counts().waiting, 0u);
}

TEST_F(TimedSubmitTest, TasksWithoutAnEstimateAndClustersWithoutAnEndKnowNoLateness) {
  EXPECT_TRUE(late(submit_timed(0, 1)).empty());
  ends(0, at(1));
  EXPECT_TRUE(late(submit(0, 2, 1)).empty());
  ends(0, std::nullopt);
  EXPECT_TRUE(late(submit_timed(0, 3)).empty());
}

TEST_F(TimedSubmitTest, AnEndThatComesCloserFailsWhatWaitsAndOneThatMovesAwaySparesIt) {
  ends(0, at(20'000));
  submit_timed(0, 1);
  ends(5'000, at(60'000));
  EXPECT_TRUE(late(tick(15'000)).empty());
  EXPECT_EQ(late(ends(15'000, at(24'000))), std::vector<TaskHandle>{1});
}

TEST_F(TimedSubmitTest, ATaskWithAnEstimateDoesNotWaitBehindAnotherOnAWorker) {
  for (TaskHandle t = 1; t <= 3; ++t) submit_timed(0, t);
  EXPECT_EQ(all<Push>(grant(0, 7)).size(), 1u);
  // So short that tasks without an estimate would be sent in a pile.
  EXPECT_EQ(all<Push>(done(1, 1, 7, std::chrono::nanoseconds(100))).size(), 1u);
}

TEST_F(TimedSubmitTest, ARetryThatNoLongerFitsFails) {
  ends(0, at(15'000));
  step(0, Submit{1, 0, 1, seconds(10)});
  grant(0, 7);
  step(6'000, WorkerLost{7});
  EXPECT_EQ(late(tick(6'100)), std::vector<TaskHandle>{1});
}

TEST_F(SubmitTest, WhileDrainingNothingStartsAndWhatHasNotBegunIsTakenBack) {
  submit(0, 1);
  grant(0, 7);
  done(0, 1, 7, std::chrono::nanoseconds(100));
  submit(0, 1);
  submit(0, 2);
  const auto drain = step(1, Drain{});
  ASSERT_EQ(all<TakeBack>(drain).size(), 1u);
  step(1, TaskReturned{7, 2});
  EXPECT_TRUE(all<Push>(submit(1, 3)).empty());
  EXPECT_TRUE(all<Push>(done(2, 1, 7)).empty());
  EXPECT_TRUE(all<Push>(grant(2, 8)).empty());
  EXPECT_EQ(machine.counts().in_flight, 0u);
  EXPECT_EQ(machine.counts().waiting, 2u);
}

}  // namespace
}  // namespace mobula::scheduler
