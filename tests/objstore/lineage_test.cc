#include "objstore/logic/lineage.h"

#include <vector>

#include <gtest/gtest.h>

namespace mobula::objstore {
namespace {

using base::ObjectId;
using base::TaskId;

TaskId task(std::uint64_t n) { return TaskId::from_words(n, 1, 1, 0); }
ObjectId result(std::uint64_t n, std::uint32_t index = 1) { return base::object_of(task(n), index); }

class LineageTest : public ::testing::Test {
 protected:
  std::vector<LineageOutput> step(LineageInput input) {
    base::Outbox<LineageOutput> out;
    machine_.step({}, std::move(input), out);
    EXPECT_TRUE(machine_.is_valid());
    return out;
  }
  std::vector<LineageOutput> keep(std::uint64_t n, std::vector<ObjectId> needs, std::uint32_t retries = 3) {
    return step(Keep{task(n), {result(n)}, std::move(needs), 100, retries});
  }
  // The tasks that are run again, in order; nothing else is said.
  std::vector<TaskId> lose(const ObjectId& object) {
    std::vector<TaskId> tasks;
    for (const LineageOutput& output : step(Lost{object})) {
      const auto* rerun = std::get_if<Rerun>(&output);
      EXPECT_NE(rerun, nullptr);
      if (rerun != nullptr) tasks.push_back(rerun->task);
    }
    return tasks;
  }
  Hopeless hopeless(const ObjectId& object) {
    const auto out = step(Lost{object});
    EXPECT_EQ(out.size(), 1u);
    return out.size() == 1 && std::holds_alternative<Hopeless>(out[0]) ? std::get<Hopeless>(out[0]) : Hopeless{};
  }
  LineageMachine machine_{LineageLimits{.bytes_max = 1'000}};
};

TEST_F(LineageTest, a_task_runs_again_once_however_often_the_loss_is_told) {
  keep(1, {});
  EXPECT_EQ(lose(result(1)), std::vector{task(1)});
  EXPECT_TRUE(lose(result(1)).empty());
  step(Ended{task(1), 2});
  EXPECT_EQ(lose(result(1)), std::vector{task(1)});
}

TEST_F(LineageTest, makers_of_what_nobody_holds_run_first_and_others_not_at_all) {
  keep(1, {});
  keep(2, {result(1)});
  keep(3, {});
  keep(4, {result(2), result(3)});
  step(Dropped{result(1)});
  step(Dropped{result(2)});
  EXPECT_EQ(lose(result(4)), (std::vector{task(1), task(2), task(4)}));
}

TEST_F(LineageTest, a_maker_that_runs_already_is_not_run_twice) {
  keep(1, {});
  keep(2, {result(1)});
  keep(3, {result(1)});
  step(Dropped{result(1)});
  EXPECT_EQ(lose(result(2)), (std::vector{task(1), task(2)}));
  EXPECT_EQ(lose(result(3)), std::vector{task(3)});
}

TEST_F(LineageTest, retries_are_spent) {
  keep(1, {}, 2);
  EXPECT_EQ(lose(result(1)).size(), 1u);
  step(Ended{task(1), 1});
  EXPECT_EQ(lose(result(1)).size(), 1u);
  step(Ended{task(1), 0});
  EXPECT_EQ(hopeless(result(1)).why, Hopeless::Why::kNoRetries);
}

TEST_F(LineageTest, what_cannot_be_made_names_the_culprit_and_runs_nothing) {
  keep(1, {}, 0);
  keep(2, {});
  keep(3, {result(1), result(2)});
  step(Dropped{result(1)});
  step(Dropped{result(2)});
  const Hopeless told = hopeless(result(3));
  EXPECT_EQ(told.object, result(3));
  EXPECT_EQ(told.culprit, result(1));
  EXPECT_EQ(told.why, Hopeless::Why::kNoRetries);
  EXPECT_EQ(machine_.counts().running, 0u);
  EXPECT_EQ(hopeless(base::object_of(task(9), base::kPutIndex + 1)).why, Hopeless::Why::kNotMade);
}

TEST_F(LineageTest, the_oldest_goes_when_there_is_too_much) {
  for (std::uint64_t n = 1; n <= 10; ++n) EXPECT_TRUE(keep(n, {}).empty());
  const auto out = keep(11, {});
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::get<LetLineageGo>(out[0]).task, task(1));
  EXPECT_EQ(std::get<LetLineageGo>(out[0]).why, LetLineageGo::Why::kNoRoom);
  EXPECT_EQ(hopeless(result(1)).why, Hopeless::Why::kNoLineage);
  EXPECT_EQ(lose(result(2)).size(), 1u);
}

TEST_F(LineageTest, a_long_chain_is_kept_by_its_end_and_goes_with_it) {
  constexpr std::uint64_t kLength = 100'000;
  machine_ = LineageMachine();
  base::Outbox<LineageOutput> out;
  for (std::uint64_t n = 1; n <= kLength; ++n) {
    const std::vector<ObjectId> needs = n == 1 ? std::vector<ObjectId>() : std::vector{result(n - 1)};
    machine_.step({}, Keep{task(n), {result(n)}, needs, 1, 1}, out);
    if (n != 1) machine_.step({}, Dropped{result(n - 1)}, out);
  }
  EXPECT_TRUE(out.empty());
  machine_.step({}, Lost{result(kLength)}, out);
  EXPECT_EQ(out.size(), kLength);
  for (std::uint64_t n = 1; n <= kLength; ++n) {
    machine_.step({}, Ended{task(n), 0}, out);
    machine_.step({}, Dropped{result(n)}, out);
  }
  EXPECT_EQ(machine_.counts().records, 0u);
  EXPECT_EQ(machine_.counts().bytes, 0u);
}

}  // namespace
}  // namespace mobula::objstore
