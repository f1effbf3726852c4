#include <gtest/gtest.h>

#include "scheduler/lease.h"
#include "tests/scheduler/support.h"

namespace mobula::scheduler {
namespace {

const auto kSelf = id<base::NodeId>(100);
const auto kOwner = id<base::WorkerId>(1), kOther = id<base::WorkerId>(2);
const auto kJob = id<base::JobId>(5), kOtherJob = id<base::JobId>(6);
const auto kFirst = id<base::WorkerId>(11), kSecond = id<base::WorkerId>(12), kThird = id<base::WorkerId>(13);

// A node of two GPUs, and workers that have used them.
class LeaseGpusTest : public ::testing::Test {
 protected:
  std::vector<LeaseOutput> step(int ms, LeaseInput input) {
    base::Outbox<LeaseOutput> out;
    machine.step(at(ms), std::move(input), out);
    EXPECT_TRUE(machine.is_valid());
    return {out.begin(), out.end()};
  }
  std::vector<LeaseOutput> tick(int ms) {
    base::Outbox<LeaseOutput> out;
    machine.tick(at(ms), out);
    EXPECT_TRUE(machine.is_valid());
    return {out.begin(), out.end()};
  }
  void worker(const base::WorkerId& worker, const base::JobId& job = kJob) {
    step(0, WorkerReady{worker, job, "there"});
  }
  std::vector<LeaseOutput> want(int ms, std::uint32_t slots, double gpus, const base::WorkerId& owner = kOwner,
                                const base::JobId& job = kJob) {
    const auto key = static_cast<std::uint32_t>(gpus * 10);
    return step(ms, DemandSet{owner, key, job, res({{"gpus", gpus}}), {}, slots, ++seq});
  }
  // The owner has had enough of it.
  std::vector<LeaseOutput> give_back(int ms, const Grant& grant) {
    step(ms,
         DemandSet{
             grant.owner, grant.key, seats().find(grant.lease)->job, seats().find(grant.lease)->shape, {}, 0, ++seq});
    return step(ms, LeaseReturned{grant.owner, grant.lease, WorkerFate::kReusable});
  }
  const SeatBook& seats() const { return machine.seats(); }

  LeaseMachine machine{{kSelf, res({{"cpus", 4}, {"gpus", 2}}), {}}, LeaseLimits{}};
  std::uint64_t seq = 0;
};

TEST_F(LeaseGpusTest, GpusAreGivenOneByOne) {
  worker(kFirst), worker(kSecond);
  const auto grants = all<Grant>(want(1, 2, 1));
  ASSERT_EQ(grants.size(), 2u);
  EXPECT_NE(seats().find(grants[0].lease)->pieces.gpus, seats().find(grants[1].lease)->pieces.gpus);
}

TEST_F(LeaseGpusTest, AWorkerThatHadAGpuServesTheNextLeaseOfTheSameOne) {
  worker(kFirst), worker(kSecond);
  const auto first = all<Grant>(want(1, 1, 1));
  ASSERT_EQ(first.size(), 1u);
  EXPECT_TRUE(all<StopWorker>(give_back(2, first[0])).empty());
  const auto next = all<Grant>(want(3, 1, 1));
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].worker, first[0].worker);
}

TEST_F(LeaseGpusTest, AWorkerThatHadAGpuServesNoLeaseWithoutOne) {
  worker(kFirst);
  give_back(2, all<Grant>(want(1, 1, 1)).at(0));
  const auto plain = step(3, DemandSet{kOwner, 9, kJob, res({{"cpus", 1}}), {}, 1, ++seq});
  EXPECT_TRUE(all<Grant>(plain).empty());
  EXPECT_EQ(all<StartWorkers>(plain).size(), 1u);
  EXPECT_EQ(all<Grant>(step(4, WorkerReady{kSecond, kJob, "there"})).at(0).worker, kSecond);
}

TEST_F(LeaseGpusTest, ANewUserOfAGpuWaitsUntilTheLastOneHasLeftIt) {
  worker(kFirst);
  give_back(2, all<Grant>(want(1, 1, 2)).at(0));
  worker(kSecond, kOtherJob);
  const auto asked = want(3, 1, 2, kOther, kOtherJob);
  EXPECT_TRUE(all<Grant>(asked).empty());
  ASSERT_EQ(all<StopWorker>(asked).size(), 1u);
  EXPECT_EQ(all<StopWorker>(asked)[0].worker, kFirst);
  EXPECT_EQ(all<StopWorker>(asked)[0].mode, StopMode::kDrain) << "it may own objects";
  EXPECT_TRUE(all<StopWorker>(tick(4)).empty()) << "asked once";
  const auto granted = all<Grant>(step(5, WorkerGone{kFirst, "exit code 0"}));
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].worker, kSecond);
}

TEST_F(LeaseGpusTest, WhoMustStayForItsObjectsHoldsUpNobody) {
  worker(kFirst);
  give_back(2, all<Grant>(want(1, 1, 2)).at(0));
  worker(kSecond, kOtherJob);
  EXPECT_TRUE(all<Grant>(want(3, 1, 2, kOther, kOtherJob)).empty());
  const auto granted = all<Grant>(step(4, WorkerReady{kFirst, kJob, "there"}));
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].worker, kSecond);
}

TEST_F(LeaseGpusTest, PartsOfAGpuLieBesideEachOther) {
  worker(kFirst), worker(kSecond);
  auto grants = all<Grant>(want(1, 2, 0.5));
  ASSERT_EQ(grants.size(), 2u);
  EXPECT_EQ(seats().find(grants[0].lease)->pieces.gpus, seats().find(grants[1].lease)->pieces.gpus);
  give_back(2, grants[0]);
  worker(kThird, kOtherJob);
  const auto third = want(3, 1, 0.5, kOther, kOtherJob);
  EXPECT_TRUE(all<Grant>(third).empty()) << "half is in use, the other half has a context on it";
  EXPECT_EQ(all<StopWorker>(third).at(0).worker, grants[0].worker);
  EXPECT_EQ(all<Grant>(step(4, WorkerGone{grants[0].worker, ""})).at(0).worker, kThird);
}

TEST_F(LeaseGpusTest, AContextThatNobodyUsesEndsAfterAWhile) {
  worker(kFirst);
  give_back(2, all<Grant>(want(1, 1, 1)).at(0));
  EXPECT_TRUE(all<StopWorker>(tick(1'900)).empty());
  ASSERT_TRUE(machine.next_deadline().has_value());
  EXPECT_LE(*machine.next_deadline(), at(2'100));
  EXPECT_EQ(all<StopWorker>(tick(2'100)).size(), 1u);
}

}  // namespace
}  // namespace mobula::scheduler
