// Groups that lose members, in real processes, and go on: shrink() and rebuild().
#include <signal.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kPassed = 300;  // Barriers in one epoch without a failure: the group goes on.

struct Outcome {
  int rank = -1;
  int size = 0;
  int sum = 0;  // Of 1 from each member.
  unsigned epoch = 0;
  std::string error;
  bool operator==(const Outcome&) const = default;
};

struct Survivor {
  int pid() const { return ::getpid(); }
  int barriers(int n) {
    for (int i = 0; i < n; ++i) self().barrier();
    return n;
  }

  Outcome state() {
    const Communicator& me = self();
    std::vector<int> one{1};
    me.allreduce(std::span(one));
    return {me.rank, me.size, one[0], me.epoch(), {}};
  }
  static Outcome ended_with(const Error& e) { return {-1, 0, 0, 0, e.what()}; }

  // What all members of the group have in common after kPassed barriers; `recover`, as often as it takes.
  template <class Recover>
  Outcome calm(Recover&& recover) {
    for (;;) {
      try {
        for (int passed = 0; passed < kPassed; ++passed) self().barrier();
        return state();
      } catch (const CollectiveError&) {
      }
      try {
        recover();
      } catch (const CollectiveError& e) {
        return {-1, 0, 0, 0, e.what()};
      }
    }
  }
  Outcome shrink_to(int size) {
    for (;;) {
      const Outcome outcome = calm([] { self().shrink(); });
      if (outcome.size <= size) return outcome;
    }
  }
  // A member that was started again finds itself outside the group, and calls it too.
  Outcome rebuild_until_calm() {
    return calm([] { self().rebuild(); });
  }
  // rebuild() in vain, then shrink().
  Outcome rebuild_or_shrink() {
    try {
      for (;;) self().barrier();
    } catch (const CollectiveError&) {
    }
    std::string why;
    try {
      self().rebuild();
    } catch (const CollectiveError& e) {
      why = e.what();
    }
    Outcome out = calm([] { self().shrink(); });
    out.error = why;
    return out;
  }
  // The same, where only rank 1 begins with rebuild().
  Outcome shrink_or_rebuild_first() {
    if (self().rank == 1) return rebuild_or_shrink();
    std::string why;
    Outcome out = calm([&] {
      try {
        self().shrink();
      } catch (const CollectiveError& e) {
        why = e.what();
      }
    });
    if (out.error.empty()) out.error = why;
    return out;
  }
  // Of a part of the group too, and large data: all of it in the new epoch.
  std::string work_after_shrink() {
    try {
      for (;;) self().barrier();
    } catch (const CollectiveError&) {
    }
    const Communicator me = self().shrink();
    std::vector<double> data(100'000, 1.0);
    me.allreduce(std::span(data));
    if (data.back() != me.size) return "wrong sum";
    std::vector<CollectiveHandle> handles;
    std::vector<std::vector<float>> more(4, std::vector<float>(1000, 1.f));
    for (auto& d : more) handles.push_back(me.allreduce_async(std::span(d)));
    for (auto& h : handles) h.wait();
    if (more[3][999] != static_cast<float>(me.size)) return "wrong sum of many at once";
    const Communicator half = me.split(me.rank % 2);
    std::vector<int> members{1};
    half.allreduce(std::span(members));
    return members[0] == half.size ? "" : "wrong sum of a part";
  }
  std::string throw_after(int n) {
    for (int i = 0; i < n; ++i) self().barrier();
    throw std::runtime_error("no more");
  }
  std::string barriers_until_error() {
    try {
      for (;;) self().barrier();
    } catch (const CollectiveError& e) {
      std::string dead;
      for (const int rank : e.dead_ranks()) dead += std::to_string(rank) + " ";
      return "dead: " + dead + "; " + e.what();
    }
  }
};

using Members = GroupHandle<Survivor>;

std::vector<int> pids_of(const Members& members) {
  std::vector<int> out;
  for (auto& pid : members.each<&Survivor::pid>()()) out.push_back(pid.get(kSoon));
  (void)members.each<&Survivor::barriers>()(10).get();
  return out;
}

TEST(Recovery, survivors_shrink_and_go_on_ranked_in_their_order) {
  const auto members = group<Survivor>.with({.size = 4})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::shrink_to>()(3);
  ::kill(pids[1], SIGKILL);
  EXPECT_EQ(results[0].get(kSoon), (Outcome{0, 3, 3, 2, {}}));
  EXPECT_EQ(results[2].get(kSoon), (Outcome{1, 3, 3, 2, {}}));
  EXPECT_EQ(results[3].get(kSoon), (Outcome{2, 3, 3, 2, {}}));
}

TEST(Recovery, deaths_while_the_group_shrinks_are_agreed_on_too) {
  const auto members = group<Survivor>.with({.size = 5})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::shrink_to>()(2);
  for (const std::size_t victim : {0u, 3u, 2u}) {
    ::kill(pids[victim], SIGKILL);
    std::this_thread::sleep_for(std::chrono::microseconds(400));  // Into the middle of it, or not: both must do.
  }
  const Outcome one = results[1].get(kSoon);
  const Outcome four = results[4].get(kSoon);
  EXPECT_EQ(one, (Outcome{0, 2, 2, one.epoch, {}}));
  EXPECT_EQ(four, (Outcome{1, 2, 2, one.epoch, {}}));
}

TEST(Recovery, all_that_a_group_can_do_it_can_do_after_it_has_shrunk) {
  const auto members = group<Survivor>.with({.size = 4})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::work_after_shrink>()();
  ::kill(pids[0], SIGKILL);
  for (const std::size_t r : {1u, 2u, 3u}) EXPECT_EQ(results[r].get(kSoon), "");
}

TEST(Recovery, a_dead_member_is_started_again_under_its_rank) {
  const auto members = group<Survivor>.with({.size = 3, .max_restarts = 2, .max_task_retries = 2})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::rebuild_until_calm>()();
  ::kill(pids[1], SIGKILL);
  std::vector<Outcome> all;
  for (const auto& result : results) all.push_back(result.get(kSoon));
  for (int r = 0; r < 3; ++r) {
    const auto i = static_cast<std::size_t>(r);
    EXPECT_EQ(all[i], (Outcome{r, 3, 3, all[0].epoch, {}}));
  }
  EXPECT_GE(all[0].epoch, 2u);
  EXPECT_NE(members[1].at<&Survivor::pid>()().get(kSoon), pids[1]);
}

TEST(Recovery, when_nobody_is_left_that_knew_the_group_the_new_processes_find_each_other) {
  const auto members = group<Survivor>.with({.size = 2, .max_restarts = 3, .max_task_retries = 3})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::rebuild_until_calm>()();
  ::kill(pids[0], SIGKILL);
  ::kill(pids[1], SIGKILL);
  for (int r = 0; r < 2; ++r) {
    const Outcome outcome = results[static_cast<std::size_t>(r)].get(kSoon);
    EXPECT_EQ(outcome, (Outcome{r, 2, 2, outcome.epoch, {}}));
  }
}

TEST(Recovery, a_rebuild_without_restarts_left_fails_on_all_and_they_can_still_shrink) {
  const auto members = group<Survivor>.with({.size = 3})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::rebuild_or_shrink>()();
  ::kill(pids[2], SIGKILL);
  for (int r = 0; r < 2; ++r) {
    const Outcome outcome = results[static_cast<std::size_t>(r)].get(kSoon);
    EXPECT_THAT(outcome.error, HasSubstr("rank 2 cannot be rebuilt"));
    EXPECT_EQ(outcome, (Outcome{r, 2, 2, outcome.epoch, outcome.error}));
  }
}

TEST(Recovery, shrinking_on_some_members_and_rebuilding_on_others_is_an_error_and_can_be_tried_again) {
  const auto members = group<Survivor>.with({.size = 3})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::shrink_or_rebuild_first>()();
  ::kill(pids[2], SIGKILL);
  const Outcome zero = results[0].get(kSoon);
  const Outcome one = results[1].get(kSoon);
  // Rank 1 may find out by itself that rank 2 is gone for good, before rank 0 has come.
  const auto says_why = ::testing::AnyOf(HasSubstr("some members called"), HasSubstr("cannot be rebuilt"));
  EXPECT_THAT(one.error, says_why);
  EXPECT_THAT(zero.error, ::testing::AnyOf(says_why, ""));
  EXPECT_EQ(zero, (Outcome{0, 2, 2, zero.epoch, zero.error}));
  EXPECT_EQ(one, (Outcome{1, 2, 2, zero.epoch, one.error}));
}

TEST(Recovery, who_stood_still_for_too_long_hears_that_it_was_left_out) {
  const auto members = group<Survivor>.with({.size = 3})();
  const auto pids = pids_of(members);
  ::kill(pids[2], SIGSTOP);
  const auto results = members.each<&Survivor::shrink_to>()(2);
  EXPECT_EQ(results[0].get(kSoon), (Outcome{0, 2, 2, 2, {}}));
  EXPECT_EQ(results[1].get(kSoon), (Outcome{1, 2, 2, 2, {}}));
  ::kill(pids[2], SIGCONT);
  EXPECT_THAT(results[2].get(kSoon).error, HasSubstr("the others hold this rank for dead"));
}

TEST(Recovery, a_member_that_hangs_is_killed_and_started_again) {
  const auto members = group<Survivor>.with({.size = 3, .max_restarts = 1, .max_task_retries = 1})();
  const auto pids = pids_of(members);
  const auto results = members.each<&Survivor::rebuild_until_calm>()();
  ::kill(pids[0], SIGSTOP);
  for (int r = 0; r < 3; ++r) {
    const Outcome outcome = results[static_cast<std::size_t>(r)].get(kSoon);
    EXPECT_EQ(outcome, (Outcome{r, 3, 3, outcome.epoch, {}}));
  }
}

TEST(Recovery, a_member_whose_method_throws_is_named_within_two_seconds) {
  const auto members = group<Survivor>.with({.size = 3})();
  (void)pids_of(members);
  const auto throws = members[1].at<&Survivor::throw_after>()(5);
  const auto zero = members[0].at<&Survivor::barriers_until_error>()();
  const auto two = members[2].at<&Survivor::barriers_until_error>()();
  EXPECT_THROW((void)throws.get(kSoon), std::runtime_error);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (const auto& result : {zero, two}) {
    EXPECT_THAT(result.get(deadline - std::chrono::steady_clock::now()),
                ::testing::AllOf(HasSubstr("dead: 1 "), HasSubstr("its method has thrown: no more")));
  }
}

}  // namespace
}  // namespace mobula::testing
