#include "collective/succession.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/collective/simulated_recovery.h"

namespace mobula::collective::test {
namespace {

constexpr int kStepsMax = 300'000;

std::uint64_t seeds() {
  const char* set = std::getenv("MOBULA_SEEDS");
#ifdef MOBULA_SANITIZED
  constexpr std::uint64_t kSeeds = 100;
#else
  constexpr std::uint64_t kSeeds = 1000;
#endif
  return set != nullptr ? std::strtoull(set, nullptr, 10) : kSeeds;
}

struct World {
  Recovery how = Recovery::kShrink;
  int restarts_max = 0;
  int kills_max = 4;
  bool accusations = false;
};

// Kills at random moments, most of them soon after one another, so that they fall into recoveries.
int run_world(std::uint64_t seed, const World& what) {
  std::mt19937_64 random(seed * 131 + 7);
  const int size = 2 + static_cast<int>(random() % 6);
  SimulatedRecovery world({size, what.how, what.restarts_max, seed});
  std::set<int> kill_at;
  int at = static_cast<int>(random() % 200);
  for (std::uint64_t kills = 1 + random() % static_cast<std::uint64_t>(what.kills_max); kills > 0; --kills) {
    kill_at.insert(at);
    at += static_cast<int>(random() % (random() % 3 == 0 ? 600 : 60));
  }
  for (int steps = 0;; ++steps) {
    if (steps >= kStepsMax) {
      ADD_FAILURE() << "seed " << seed << " does not end";
      return 0;
    }
    if (kill_at.contains(steps)) {
      int left = 0;
      for (int r = 0; r < size; ++r) left += world.has_process(r) ? 1 : 0;
      const int victim = static_cast<int>(random() % static_cast<std::uint64_t>(size));
      if (what.accusations && random() % 2 == 0) {
        if (world.has_process(victim)) world.accuse(victim);
      } else if (world.has_process(victim) && (left > 1 || what.restarts_max > 0)) {
        world.kill(victim);
      }
    }
    if (!world.step() && (kill_at.empty() || steps > *kill_at.rbegin())) break;
  }
  EXPECT_EQ(world.disagreement(), "") << "seed " << seed;
  EXPECT_EQ(world.verdict(), "") << "seed " << seed;
  return world.recoveries();
}

int run_worlds(const World& what) {
  int recoveries = 0;
  for (std::uint64_t seed = 1; seed <= seeds() && !::testing::Test::HasFailure(); ++seed) {
    recoveries += run_world(seed, what);
  }
  return recoveries;
}

TEST(Succession, survivors_shrink_to_the_same_members_whatever_deaths_each_saw_and_when) {
  EXPECT_GT(run_worlds({}), static_cast<int>(seeds()));
}

TEST(Succession, who_is_held_for_dead_and_lives_hears_that_it_was_left_out_and_nobody_else_is) {
  EXPECT_GT(run_worlds({.accusations = true}), static_cast<int>(seeds()));
}

TEST(Succession, members_that_are_started_again_come_back_under_their_ranks) {
  EXPECT_GT(run_worlds({.how = Recovery::kRebuild, .restarts_max = 100}), static_cast<int>(seeds()));
}

TEST(Succession, when_a_rank_cannot_be_started_again_a_rebuild_ends_with_an_error_on_all) {
  EXPECT_GT(run_worlds({.how = Recovery::kRebuild, .restarts_max = 1, .kills_max = 6}), static_cast<int>(seeds()));
}

// ---- by hand

Succession survivor(int rank, Recovery how, std::map<int, std::uint64_t> lost) {
  return Succession({1, {rank, 3}, how, std::move(lost), 1, 0, false});
}

TEST(Succession, the_first_entry_counts_and_who_saw_another_death_proposes_anew) {
  Succession s = survivor(0, Recovery::kShrink, {{2, 1}});
  EXPECT_EQ(std::get<Succession::Write>(s.next()).slot, (Slot{1, 1}));
  // Another has found rank 1 dead, and wrote first.
  s.on_slot(Entry::propose({Recovery::kShrink, {{1, 1}}}));
  EXPECT_EQ(std::get<Succession::Meet>(s.next()).members, (std::vector<int>{0, 2}));
  EXPECT_EQ(std::get<Succession::Meet>(s.next()).epoch, 2u);
  s.on_failed({{{1, 1}}, {}, "rank 1 is lost"});  // There rank 2 is rank 1.
  const auto& write = std::get<Succession::Write>(s.next());
  EXPECT_EQ(write.slot, (Slot{1, 2}));
  EXPECT_EQ(write.entry.proposal.lost, (std::map<int, std::uint64_t>{{1, 1}, {2, 1}}));
  s.on_slot(write.entry);
  s.on_met();
  s.on_slot(Entry::commit());
  EXPECT_EQ(std::get<Succession::Next>(s.next()).epoch, 3u);
  EXPECT_EQ(std::get<Succession::Next>(s.next()).members, (std::vector<int>{0}));
}

TEST(Succession, shrinking_and_rebuilding_at_once_is_an_error_that_says_so_and_can_be_tried_again) {
  Succession s = survivor(0, Recovery::kShrink, {{2, 1}});
  s.on_slot(Entry::propose({Recovery::kRebuild, {{2, 1}}}));
  EXPECT_EQ(std::get<Succession::Read>(s.next()).slot, (Slot{1, 2}));
  s.on_slot(std::nullopt);
  const Entry end = std::get<Succession::Write>(s.next()).entry;
  EXPECT_EQ(end.kind, Entry::Kind::kEnd);
  s.on_slot(end);
  EXPECT_EQ(std::get<Succession::Spoil>(s.next()).epoch, 2u);
  s.on_spoilt();
  const auto& failed = std::get<Succession::Failed>(s.next());
  EXPECT_NE(failed.what.find("some members called shrink(), others rebuild()"), std::string::npos) << failed.what;
  EXPECT_FALSE(failed.left_out);
  EXPECT_EQ(failed.slot, 3u);
}

TEST(Succession, entries_travel_and_nonsense_is_refused) {
  const Entry entry{Entry::Kind::kProposal, {Recovery::kRebuild, {{1, 2}, {5, 9}}}, "why"};
  base::Buffer bytes;
  encode(entry, bytes);
  EXPECT_EQ(decode_entry(bytes.view()), entry);
  EXPECT_EQ(decode_entry(bytes.view().first(bytes.size() - 1)), std::nullopt);
  EXPECT_EQ(decode_entry({}), std::nullopt);
}

}  // namespace
}  // namespace mobula::collective::test
