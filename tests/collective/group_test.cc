#include <cstdlib>
#include <numeric>
#include <ranges>

#include <gtest/gtest.h>

#include "tests/collective/simulated_group.h"

namespace mobula::collective::test {
namespace {

constexpr int kStepsMax = 2'000'000;

std::uint64_t seeds() {
  const char* set = std::getenv("MOBULA_SEEDS");
#ifdef MOBULA_SANITIZED
  constexpr std::uint64_t kSeeds = 100;
#else
  constexpr std::uint64_t kSeeds = 1000;
#endif
  return set != nullptr ? std::strtoull(set, nullptr, 10) : kSeeds;
}

// One call of some kind on all ranks, with buffers whose result is known.
class Expected {
 public:
  Expected(int kind, int size, std::size_t count, int root) : kind_(kind), size_(size), count_(count), root_(root) {
    for (int r = 0; r < size; ++r) {
      auto& in = inputs_.emplace_back(kind == 3 || kind == 4 ? count * static_cast<std::size_t>(size) : count);
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(r, i);
      outputs_.emplace_back(kind == 2 || kind == 4 ? count * static_cast<std::size_t>(size) : count, -1);
      if (kind == 1 && r == root) outputs_.back() = in;
    }
  }

  std::shared_ptr<Call> begin(SimulatedGroup& group, int rank) {
    const auto r = static_cast<std::size_t>(rank);
    const Place place{rank, size_};
    const Reduction* sum = find_reduction(DataType::kInt64, ReduceOp::kSum);
    Signature s{Operation::kAllreduce, 0, sum->id, count_, 8};
    Plan plan;
    switch (kind_) {
      case 0: plan = count_ % 2 == 0 ? allreduce_ring(place, count_) : allreduce_rabenseifner(place, count_); break;
      case 1:
        s = {Operation::kBroadcast, root_, 0, count_, 8};
        plan = count_ % 2 == 0 ? broadcast_chain(place, root_, count_, 10) : broadcast_binomial(place, root_, count_);
        break;
      case 2:
        s = {Operation::kAllgather, 0, 0, count_, 8};
        plan = count_ % 2 == 0 ? allgather_bruck(place, count_) : allgather_ring(place, Blocks::equal(count_, size_));
        break;
      case 3:
        s = {Operation::kReduceScatter, 0, sum->id, count_, 8};
        plan = reduce_scatter_ring(place, Blocks::equal(count_, size_));
        break;
      case 4:
        s = {Operation::kAlltoall, 0, 0, count_, 8};
        plan = alltoall_bruck(place, count_);
        break;
      default: s = {Operation::kBarrier, 0, 0, 0, 0}; plan = barrier_dissemination(place);
    }
    return group.member(rank).begin(
        std::move(plan), s,
        {reinterpret_cast<const std::byte*>(inputs_[r].data()), reinterpret_cast<std::byte*>(outputs_[r].data())},
        s.reduction != 0 ? sum : nullptr, group.wire(rank));
  }

  bool right(int rank) const {
    const auto& out = outputs_[static_cast<std::size_t>(rank)];
    if (kind_ == 5) return true;
    const auto n = static_cast<int>(size_);
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::int64_t wanted = 0;
      const auto sum_of = [&](std::size_t at) {
        std::int64_t sum = 0;
        for (int r = 0; r < n; ++r) sum += value(r, at);
        return sum;
      };
      if (kind_ == 0) wanted = sum_of(i);
      if (kind_ == 1) wanted = value(root_, i);
      if (kind_ == 2) wanted = value(static_cast<int>(i / count_), i % count_);
      if (kind_ == 3) wanted = sum_of(static_cast<std::size_t>(rank) * count_ + i);
      if (kind_ == 4)
        wanted = value(static_cast<int>(i / count_), static_cast<std::size_t>(rank) * count_ + i % count_);
      if (out[i] != wanted) return false;
    }
    return true;
  }

 private:
  static std::int64_t value(int rank, std::size_t i) {
    return (rank + 1) * 1'000'003 + static_cast<std::int64_t>(i) * 17;
  }
  int kind_;
  int size_;
  std::size_t count_;
  int root_;
  std::vector<std::vector<std::int64_t>> inputs_;
  std::vector<std::vector<std::int64_t>> outputs_;
};

struct Begun {
  int rank;
  std::size_t call;
  std::shared_ptr<Call> handle;
};

// Each rank begins its calls in order, up to four at once, whenever the dice say so.
void run_world(std::uint64_t seed, bool kills) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed * 77 + 1);
  const int size = 1 + static_cast<int>(random() % 9);
  SimulatedGroup group(size, seed);
  std::vector<Expected> calls;
  for (int i = 0; i < 6; ++i) {
    const std::size_t count = random() % 5 == 0 ? 8'000 + random() % 30'000 : 1 + random() % 50;
    calls.emplace_back(static_cast<int>(random() % 6), size, count,
                       static_cast<int>(random() % static_cast<std::uint64_t>(size)));
  }
  std::vector<std::size_t> next(static_cast<std::size_t>(size), 0);
  std::vector<Begun> begun;
  const int kill_at = kills ? static_cast<int>(random() % 400) : -1;
  const int second_kill_at = kills && random() % 2 == 0 ? kill_at + static_cast<int>(random() % 50) : -1;
  int steps = 0;
  for (;; ++steps) {
    ASSERT_LT(steps, kStepsMax) << "it does not end";
    if ((steps == kill_at || steps == second_kill_at) && size > 1) {
      const int victim = static_cast<int>(random() % static_cast<std::uint64_t>(size));
      // Sometimes only one survivor has any means to notice.
      std::vector<int> heard;
      if (random() % 2 == 0) {
        for (int r = 0; r < size && heard.empty(); ++r) {
          if (r != victim && group.alive(r)) heard.push_back(r);
        }
      }
      if (group.alive(victim)) group.kill(victim, heard);
    }
    const int rank = static_cast<int>(random() % static_cast<std::uint64_t>(size));
    const auto r = static_cast<std::size_t>(rank);
    const auto open =
        std::ranges::count_if(begun, [&](const Begun& b) { return b.rank == rank && !b.handle->ended(); });
    const bool may_begin = group.alive(rank) && next[r] < calls.size() && open < 4;
    if (may_begin && random() % 4 == 0) {
      begun.push_back({rank, next[r], calls[next[r]].begin(group, rank)});
      ++next[r];
      continue;
    }
    if (group.step()) continue;
    const bool more = std::ranges::any_of(std::views::iota(0, size), [&](int q) {
      return group.alive(q) && next[static_cast<std::size_t>(q)] < calls.size();
    });
    if (!more && steps > second_kill_at && steps > kill_at) break;
  }
  const bool somebody_dead = std::ranges::any_of(std::views::iota(0, size), [&](int q) { return !group.alive(q); });
  for (const Begun& b : begun) {
    if (!group.alive(b.rank)) continue;
    ASSERT_TRUE(b.handle->ended()) << "rank " << b.rank << " was left behind in call " << b.call << "\n"
                                   << group.member(b.rank).describe();
    if (b.handle->done) {
      ASSERT_TRUE(calls[b.call].right(b.rank)) << "rank " << b.rank << ", call " << b.call;
    } else {
      ASSERT_TRUE(somebody_dead) << group.member(b.rank).failure()->what;
    }
  }
  for (int q = 0; q < size; ++q) {
    if (!group.alive(q) || !somebody_dead) continue;
    ASSERT_TRUE(group.member(q).failure()) << "rank " << q << " never heard";
    for (int d = 0; d < size; ++d) {
      if (group.alive(d)) {
        ASSERT_FALSE(group.member(q).failure()->dead.contains(d)) << "rank " << d << " lives";
      }
    }
  }
}

TEST(Group, calls_end_with_the_right_result_on_every_rank_whatever_the_order_of_messages) {
  for (std::uint64_t seed = 1; seed <= seeds() / 4 && !HasFatalFailure(); ++seed) run_world(seed, false);
}

TEST(Group, when_members_die_every_other_member_ends_every_call_and_none_has_a_wrong_result) {
  for (std::uint64_t seed = 1; seed <= seeds() && !HasFatalFailure(); ++seed) run_world(seed, true);
}

std::shared_ptr<Call> allreduce(SimulatedGroup& group, int rank, std::vector<float>& data, std::size_t count,
                                ReduceOp op) {
  const Reduction* reduction = find_reduction(DataType::kFloat32, op);
  return group.member(rank).begin(
      allreduce_recursive_doubling({rank, group.size()}, count), {Operation::kAllreduce, 0, reduction->id, count, 4},
      {reinterpret_cast<std::byte*>(data.data()), reinterpret_cast<std::byte*>(data.data())}, reduction,
      group.wire(rank));
}

TEST(Group, calls_that_do_not_fit_end_on_every_rank_with_both_ranks_and_what_they_called) {
  SimulatedGroup group(4, 5);
  std::vector<std::vector<float>> data(4, std::vector<float>(8, 1.f));
  std::vector<std::shared_ptr<Call>> calls;
  for (int r = 0; r < 4; ++r) {
    calls.push_back(allreduce(group, r, data[static_cast<std::size_t>(r)], r == 2 ? 4 : 8, ReduceOp::kSum));
  }
  while (group.step()) {
  }
  for (int r = 0; r < 4; ++r) {
    EXPECT_TRUE(calls[static_cast<std::size_t>(r)]->failed);
    const std::string& what = group.member(r).failure()->what;
    EXPECT_NE(what.find("rank 2 called allreduce of 4 elements"), std::string::npos) << what;
    EXPECT_NE(what.find("called allreduce of 8 elements"), std::string::npos) << what;
    EXPECT_TRUE(group.member(r).failure()->dead.empty());
  }
}

TEST(Group, a_root_that_runs_ahead_is_held_back_by_credit) {
  SimulatedGroup group(2, 3);
  std::vector<float> data(10'000, 1.f);
  const Signature s{Operation::kBroadcast, 0, 0, data.size(), 4};
  std::vector<std::shared_ptr<Call>> calls;
  for (int i = 0; i < 1000; ++i) {
    calls.push_back(group.member(0).begin(broadcast_binomial({0, 2}, 0, data.size()), s,
                                          {nullptr, reinterpret_cast<std::byte*>(data.data())}, nullptr,
                                          group.wire(0)));
    group.step();
  }
  EXPECT_FALSE(calls.back()->ended());
  EXPECT_LE(group.bytes_under_way_max(), Group::kPeerBytes);
  std::vector<float> got(data.size());
  for (int i = 0; i < 1000; ++i) {
    const auto call =
        group.member(1).begin(broadcast_binomial({1, 2}, 0, data.size()), s,
                              {nullptr, reinterpret_cast<std::byte*>(got.data())}, nullptr, group.wire(1));
    while (!call->ended() && group.step()) {
    }
    ASSERT_TRUE(call->done) << i;
  }
  EXPECT_EQ(got, data);
  while (group.step()) {
  }
  EXPECT_TRUE(calls.back()->done);
}

TEST(Group, messages_between_two_members_arrive_in_order_beside_calls_of_all) {
  SimulatedGroup group(3, 9);
  std::vector<int> sent(5);
  std::iota(sent.begin(), sent.end(), 10);
  std::vector<int> got(5);
  for (std::size_t i = 0; i < 5; ++i) {
    (void)group.member(0).begin_send(2, {reinterpret_cast<std::byte*>(&sent[i]), 4}, group.wire(0));
  }
  std::vector<std::vector<float>> data(3, std::vector<float>(8, 1.f));
  for (int r = 0; r < 3; ++r) (void)allreduce(group, r, data[static_cast<std::size_t>(r)], 8, ReduceOp::kAverage);
  for (std::size_t i = 0; i < 5; ++i) {
    (void)group.member(2).begin_receive(0, {reinterpret_cast<std::byte*>(&got[i]), 4}, group.wire(2));
  }
  while (group.step()) {
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(data[1], std::vector<float>(8, 1.f));
  EXPECT_TRUE(group.member(0).idle());
}

// Finds out that a member is gone when it sends to it.
struct BreakingWire final : Wire {
  explicit BreakingWire(Group& g) : group(g) {}
  bool send(int rank, const MessageHeader&, ConstBytes) override {
    if (++sent == breaks_at) group.lose(rank, "it broke", *this);
    return true;
  }
  Group& group;
  int sent = 0;
  int breaks_at = 0;
};

TEST(Group, a_member_may_be_lost_while_it_is_sent_to) {
  std::vector<std::byte> data(300'000);
  for (int breaks_at = 1; breaks_at <= 6; ++breaks_at) {  // More pieces do not fit the credit.
    Group group({7, 1}, {0, 3});
    BreakingWire wire(group);
    wire.breaks_at = breaks_at;
    const auto first = group.begin_send(1, data, wire);
    const auto second = group.begin_send(2, data, wire);
    const auto third = group.begin_receive(1, data, wire);
    group.pump(wire);
    ASSERT_TRUE(group.failure());
    EXPECT_TRUE(first->ended() && second->ended() && third->failed);
    EXPECT_TRUE(group.idle());
  }
}

TEST(Group, refuses_work_once_it_has_failed_and_nonsense_always) {
  SimulatedGroup group(2, 1);
  MessageHeader header;
  header.from = 5;
  EXPECT_FALSE(group.member(0).receive(header, {}, group.wire(0)));
  header.from = 1;
  header.kind = MessageKind::kCredit;
  const std::uint64_t nothing[3] = {0, 0, 0};
  EXPECT_FALSE(group.member(0).receive(header, std::as_bytes(std::span(nothing)), group.wire(0)));
  header.kind = MessageKind::kFailed;
  EXPECT_FALSE(group.member(0).receive(header, {}, group.wire(0)));
  group.member(0).lose(1, "killed", group.wire(0));
  std::vector<float> data(4);
  EXPECT_TRUE(allreduce(group, 0, data, 4, ReduceOp::kSum)->failed);
}

}  // namespace
}  // namespace mobula::collective::test
