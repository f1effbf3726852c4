// Collectives between actors in other processes, through the public API.
#include <signal.h>
#include <unistd.h>

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using ::testing::HasSubstr;
using Vec = std::vector<double>;

std::span<const double> view(const Vec& v) { return v; }

double value(int rank, std::size_t i) { return static_cast<double>(rank + 1) + static_cast<double>(i % 97) * 0.5; }
Vec values(int rank, std::size_t count) {
  Vec out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = value(rank, i);
  return out;
}
double sum_at(int size, std::size_t i) {
  double sum = 0;
  for (int r = 0; r < size; ++r) sum += value(r, i);
  return sum;
}

struct Member {
  int rank() const { return self().rank; }
  int pid() const { return ::getpid(); }

  // Empty when all is right, else what is not.
  std::string check(std::size_t count) {
    const Communicator& me = self();
    const auto n = static_cast<std::size_t>(me.size);
    const auto rank = static_cast<std::size_t>(me.rank);
    const auto wrong = [&](const char* what) { return std::string(what) + " on rank " + std::to_string(me.rank); };
    Vec mine = values(me.rank, count);

    Vec data = mine;
    me.allreduce(std::span(data));
    for (std::size_t i = 0; i < count; ++i) {
      if (data[i] != sum_at(me.size, i)) return wrong("allreduce");
    }
    me.allreduce(view(mine), data, ReduceOp::max);
    for (std::size_t i = 0; i < count; ++i) {
      if (data[i] != value(me.size - 1, i)) return wrong("allreduce max");
    }
    me.allreduce(view(mine), data, [](double a, double b) { return a < b ? a : b; });
    if (count != 0 && data[0] != value(0, 0)) return wrong("allreduce of a user's function");

    for (int root = 0; root < me.size; ++root) {
      data = me.rank == root ? values(root, count) : Vec(count);
      me.broadcast(std::span(data), root);
      if (data != values(root, count)) return wrong("broadcast");
      data = Vec(me.rank == root ? count : 0);
      me.reduce(view(mine), data, ReduceOp::sum, root);
      for (std::size_t i = 0; i < data.size(); ++i) {
        if (data[i] != sum_at(me.size, i)) return wrong("reduce");
      }
      Vec all(me.rank == root ? n * count : 0);
      me.gather(view(mine), all, root);
      Vec back(count);
      me.scatter(view(all), back, root);
      if (back != mine) return wrong("gather and scatter");
    }

    Vec all(n * count);
    me.allgather(view(mine), all);
    Vec part(count);
    me.reduce_scatter(view(all), part);  // All have the same: block r comes back n times as large.
    for (std::size_t i = 0; i < count; ++i) {
      if (all[rank * count + i] != mine[i]) return wrong("allgather");
      if (part[i] != mine[i] * static_cast<double>(n)) return wrong("reduce_scatter");
    }
    Vec exchanged(n * count);
    me.alltoall(view(all), exchanged);  // From each rank the block that is mine.
    for (std::size_t i = 0; i < exchanged.size(); ++i) {
      if (exchanged[i] != mine[i % count]) return wrong("alltoall");
    }

    std::vector<std::size_t> counts;
    for (std::size_t r = 0; r < n; ++r) counts.push_back(r % 3);
    const Vec few = values(me.rank, counts[rank]);
    Vec several(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
    me.allgatherv(view(few), several, counts);
    std::size_t at = 0;
    for (std::size_t r = 0; r < n; ++r) {
      for (std::size_t i = 0; i < counts[r]; ++i) {
        if (several[at++] != value(static_cast<int>(r), i)) return wrong("allgatherv");
      }
    }

    const Vec one{1};
    Vec before{0};
    me.scan(view(one), before);
    if (before[0] != me.rank + 1) return wrong("scan");
    before = {0};
    me.exclusive_scan(view(one), before);
    if (before[0] != me.rank) return wrong("exclusive_scan");

    Vec from_left(count);
    const int right = (me.rank + 1) % me.size;
    const int left = (me.rank + me.size - 1) % me.size;
    if (me.size > 1) {
      me.sendrecv(right, view(mine), left, from_left);
      if (from_left != values(left, count)) return wrong("sendrecv");
    }
    me.barrier();
    return {};
  }

  // Several calls under way at once, waited for in another order.
  std::string overlap() {
    const Communicator& me = self();
    std::vector<std::vector<float>> data(6, std::vector<float>(50'000, 1.f));
    std::vector<CollectiveHandle> handles;
    for (auto& d : data) handles.push_back(me.allreduce_async(std::span(d)));
    for (std::size_t i = handles.size(); i-- > 0;) handles[i].wait();
    for (const auto& d : data) {
      for (const float f : d) {
        if (f != static_cast<float>(me.size)) return "wrong sum";
      }
    }
    return {};
  }

  std::vector<int> parts() {
    const Communicator& me = self();
    const Communicator half = me.split(me.rank % 2, -me.rank);
    std::vector<int> sum{me.rank};
    half.allreduce(std::span(sum));
    const Communicator none = me.split(me.rank == 0 ? -1 : 7);
    std::vector<int> others{1};
    none.allreduce(std::span(others));
    return {half.rank, half.size, sum[0], others[0]};
  }

  int barriers(int n) {
    for (int i = 0; i < n; ++i) self().barrier();
    return n;
  }
  // The dead ranks, or the error's text.
  std::string barriers_until_error() {
    try {
      for (;;) self().barrier();
    } catch (const CollectiveError& e) {
      std::string dead;
      for (const int rank : e.dead_ranks()) dead += std::to_string(rank) + " ";
      return e.evidence().at(0) + "; dead: " + dead + "; " + e.what();
    }
  }
  std::string mismatched() {
    std::vector<float> data(self().rank == 1 ? 3 : 4);
    try {
      self().allreduce(std::span(data));
    } catch (const CollectiveError& e) {
      return e.what();
    }
    return "no error";
  }
};

TEST(Collectives, give_every_member_the_right_result_for_small_and_large_data) {
  for (const int size : {1, 2, 3, 4}) {
    const auto members = group<Member>.with({.size = size})();
    for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, std::size_t{60'000}}) {
      for (const auto& result : members.each<&Member::check>()(count)) EXPECT_EQ(result.get(kSoon), "") << size;
    }
  }
}

TEST(Collectives, may_be_under_way_together) {
  const auto members = group<Member>.with({.size = 3})();
  for (const auto& result : members.each<&Member::overlap>()()) EXPECT_EQ(result.get(kSoon), "");
}

TEST(Collectives, a_split_group_has_its_own_ranks_and_sums) {
  const auto members = group<Member>.with({.size = 4})();
  const auto parts = members.each<&Member::parts>()();
  EXPECT_EQ(parts[0].get(kSoon), (std::vector<int>{1, 2, 2, 1}));
  EXPECT_EQ(parts[1].get(kSoon), (std::vector<int>{1, 2, 4, 3}));
  EXPECT_EQ(parts[2].get(kSoon), (std::vector<int>{0, 2, 2, 3}));
  EXPECT_EQ(parts[3].get(kSoon), (std::vector<int>{0, 2, 4, 3}));
}

TEST(Collectives, when_a_member_is_killed_all_others_get_an_error_that_names_it_within_two_seconds) {
  const auto members = group<Member>.with({.size = 4})();
  const int victim = members[2].at<&Member::pid>()().get(kSoon);
  (void)members.each<&Member::barriers>()(10).get();
  const auto results = members.each<&Member::barriers_until_error>()();
  ::kill(victim, SIGKILL);
  const auto deadline = std::chrono::steady_clock::now() + 2s;
  for (const std::size_t r : {0u, 1u, 3u}) {
    const std::string error = results[r].get(deadline - std::chrono::steady_clock::now());
    EXPECT_THAT(error, HasSubstr("operation barrier on rank " + std::to_string(r) + " of 4"));
    EXPECT_THAT(error, HasSubstr("dead: 2 "));
  }
  EXPECT_THROW((void)results[2].get(kSoon), std::exception);
}

TEST(Collectives, a_stopped_member_is_named_within_the_hang_limit) {
  const auto members = group<Member>.with({.size = 3})();
  const int victim = members[1].at<&Member::pid>()().get(kSoon);
  (void)members.each<&Member::barriers>()(10).get();
  ::kill(victim, SIGSTOP);
  const auto results = members.each<&Member::barriers_until_error>()();
  for (const std::size_t r : {0u, 2u}) {
    const std::string error = results[r].get(std::chrono::seconds(8));  // The limit is 5 s, asked about after 1 s.
    EXPECT_THAT(error, HasSubstr("dead: 1 "));
    EXPECT_THAT(error, HasSubstr("has not answered"));
  }
  ::kill(victim, SIGKILL);
}

TEST(Collectives, calls_that_do_not_fit_each_other_name_the_ranks_and_what_they_called) {
  const auto members = group<Member>.with({.size = 3})();
  for (const auto& result : members.each<&Member::mismatched>()()) {
    const std::string error = result.get(kSoon);
    EXPECT_THAT(error, HasSubstr("rank 1 called allreduce of 3 elements"));
    EXPECT_THAT(error, HasSubstr("called allreduce of 4 elements"));
  }
}

TEST(Collectives, of_a_driver_and_of_lengths_that_cannot_be_right_are_refused) {
  EXPECT_EQ(self().size, 1);
  std::vector<float> data{1, 2};
  self().allreduce(std::span(data));
  EXPECT_EQ(data[1], 2.f);
  std::vector<float> longer(3);
  EXPECT_THROW(self().allgather(std::span<const float>(data), longer), InvalidArgument);
  EXPECT_THROW(self().broadcast(std::span(data), 1), InvalidArgument);
  EXPECT_THROW(self().send(0, std::span<const float>(data)), InvalidArgument);
  EXPECT_THROW(self().allreduce(std::span(data), ReduceOp::band), InvalidArgument);
}

struct Loner {
  int size() const { return self().size; }
  std::vector<int> ranks() const {
    std::vector<int> out(static_cast<std::size_t>(self().size));
    const int mine = self().rank;
    self().allgather(std::span<const int>(&mine, 1), out);
    out.push_back(mine);
    return out;
  }
};

TEST(Collectives, join_actors_that_exist_already_in_the_order_that_is_given_and_anew_as_often_as_one_likes) {
  std::vector<ActorHandle<Loner>> loners;
  for (int i = 0; i < 3; ++i) loners.push_back(actor<Loner>());
  EXPECT_EQ(method<&Loner::size>(loners[0]).get(kSoon), 1);

  const auto all = make_group(loners);
  std::vector<Ref<std::vector<int>>> refs;
  for (auto& ref : all.each<&Loner::ranks>()()) refs.push_back(ref);
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(refs[static_cast<std::size_t>(i)].get(kSoon), ::testing::ElementsAre(0, 1, 2, i));

  const auto pair = make_group<Loner>({loners[2], loners[0]});
  const auto last = method<&Loner::ranks>(loners[2]);
  EXPECT_THAT(method<&Loner::ranks>(loners[0]).get(kSoon), ::testing::ElementsAre(0, 1, 1));
  EXPECT_THAT(last.get(kSoon), ::testing::ElementsAre(0, 1, 0));
  EXPECT_EQ(pair.size(), 2u);

  EXPECT_THROW((void)make_group<Loner>({loners[0], loners[0]}), InvalidArgument);
  EXPECT_THROW((void)make_group<Loner>({loners[0], {}}), InvalidArgument);
}

}  // namespace
}  // namespace mobula::testing
