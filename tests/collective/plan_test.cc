#include <gtest/gtest.h>

#include "collective/algorithms.h"
#include "tests/collective/prover.h"

namespace mobula::collective::test {
namespace {

constexpr int kSizeMax = 64;

Symbol all_of(std::size_t index, int size) {
  Symbol s{index, {}};
  for (int i = 0; i < size; ++i) s.ranks.set(static_cast<std::size_t>(i));
  return s;
}
Symbol one(std::size_t index, int rank) {
  Symbol s{index, {}};
  s.ranks.set(static_cast<std::size_t>(rank));
  return s;
}

// Every size up to 64; every root up to 9 ranks, the first, second, middle and last beyond.
template <class F>
void for_all_sizes(F&& f) {
  for (int size = 1; size <= kSizeMax; ++size) ASSERT_EQ(f(size), "") << "size " << size;
}
template <class F>
void for_all_roots(F&& f) {
  for (int size = 1; size <= kSizeMax; ++size) {
    for (int root = 0; root < size; ++root) {
      if (size > 9 && root > 1 && root != size / 2 && root != size - 1) continue;
      ASSERT_EQ(f(size, root), "") << "size " << size << ", root " << root;
    }
  }
}

// Buffers of `count` elements each, apart and in place.
std::string prove_both(World world, std::size_t input, std::size_t output) {
  world.lengths = [=](int) { return Lengths{input, output, std::nullopt}; };
  if (auto wrong = prove(world); !wrong.empty()) return wrong;
  if (input != output) return {};
  world.lengths = [=](int) { return Lengths{input, output, 0}; };
  auto wrong = prove(world);
  return wrong.empty() ? wrong : "in place: " + wrong;
}

std::string prove_allreduce(int size, std::size_t count, Plan (*algorithm)(Place, std::size_t)) {
  World world{.size = size};
  world.plan = [&](int rank) { return algorithm({rank, size}, count); };
  world.after = [&](int, std::size_t i) { return all_of(i, size); };
  return prove_both(world, count, count);
}

TEST(Allreduce, every_rank_ends_with_every_contribution_once) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{67}, std::size_t{130}}) {
    for_all_sizes([=](int n) { return prove_allreduce(n, count, allreduce_recursive_doubling); });
    for_all_sizes([=](int n) { return prove_allreduce(n, count, allreduce_rabenseifner); });
    for_all_sizes([=](int n) { return prove_allreduce(n, count, allreduce_ring); });
  }
}

TEST(Broadcast, every_rank_ends_with_the_roots_elements) {
  constexpr std::size_t kCount = 70;
  const auto broadcast = [&](int size, int root, auto algorithm) {
    World world{.size = size};
    world.plan = [&](int rank) { return algorithm(Place{rank, size}, root); };
    world.lengths = [](int) { return Lengths{0, kCount, std::nullopt}; };
    world.before = [&](int rank, std::size_t i) { return rank == root ? std::optional(one(i, root)) : std::nullopt; };
    world.after = [&](int, std::size_t i) { return one(i, root); };
    return prove(world);
  };
  for_all_roots([&](int n, int root) {
    return broadcast(n, root, [](Place p, int r) { return broadcast_binomial(p, r, kCount); });
  });
  for_all_roots([&](int n, int root) {
    return broadcast(n, root, [](Place p, int r) { return broadcast_chain(p, r, kCount, 16); });
  });
  for_all_roots([&](int n, int root) {
    return broadcast(n, root, [](Place p, int r) { return broadcast_scatter_allgather(p, r, kCount); });
  });
}

TEST(Reduce, the_root_ends_with_every_contribution_and_nobody_elses_output_is_touched) {
  constexpr std::size_t kCount = 67;
  const auto run = [&](int size, int root, Plan (*algorithm)(Place, int, std::size_t)) {
    World world{.size = size};
    world.plan = [&](int rank) { return algorithm({rank, size}, root, kCount); };
    world.lengths = [&](int rank) { return Lengths{kCount, rank == root ? kCount : 0, std::nullopt}; };
    world.after = [&](int, std::size_t i) { return all_of(i, size); };
    if (auto wrong = prove(world); !wrong.empty()) return wrong;
    world.lengths = [&](int rank) {
      return rank == root ? Lengths{kCount, kCount, 0} : Lengths{kCount, 0, std::nullopt};
    };
    return prove(world);
  };
  for_all_roots([&](int n, int root) { return run(n, root, reduce_binomial); });
  for_all_roots([&](int n, int root) { return run(n, root, reduce_ring_gather); });
}

// Blocks of different lengths, some empty.
Blocks uneven(int size, int seed) {
  std::vector<std::size_t> counts;
  for (int i = 0; i < size; ++i) counts.push_back(static_cast<std::size_t>((i * 7 + seed) % 4));
  return Blocks(counts);
}

TEST(ReduceScatter, each_rank_ends_with_its_block_of_the_reduction) {
  const auto run = [&](int size, Plan (*algorithm)(Place, const Blocks&)) {
    const Blocks blocks = uneven(size, 1);
    World world{.size = size};
    world.plan = [&](int rank) { return algorithm({rank, size}, blocks); };
    world.lengths = [&](int rank) { return Lengths{blocks.total(), blocks.count(rank), std::nullopt}; };
    world.after = [&](int rank, std::size_t i) { return all_of(blocks.offset(rank) + i, size); };
    return prove(world);
  };
  for_all_sizes([&](int n) { return run(n, reduce_scatter_ring); });
  for_all_sizes([&](int n) { return run(n, reduce_scatter_pairwise); });
}

std::string prove_allgather(int size, const Blocks& blocks, const std::function<Plan(Place)>& algorithm) {
  World world{.size = size};
  world.plan = [&](int rank) { return algorithm({rank, size}); };
  world.after = [&](int, std::size_t i) {
    int from = 0;
    while (blocks.offset(from + 1) <= i) ++from;
    return one(i - blocks.offset(from), from);
  };
  world.lengths = [&](int rank) { return Lengths{blocks.count(rank), blocks.total(), std::nullopt}; };
  if (auto wrong = prove(world); !wrong.empty()) return wrong;
  world.lengths = [&](int rank) { return Lengths{blocks.count(rank), blocks.total(), blocks.offset(rank)}; };
  return prove(world);
}

TEST(Allgather, every_rank_ends_with_all_blocks_in_order) {
  for_all_sizes([](int n) {
    const Blocks blocks = uneven(n, 2);
    return prove_allgather(n, blocks, [&](Place p) { return allgather_ring(p, blocks); });
  });
  for_all_sizes(
      [](int n) { return prove_allgather(n, Blocks::equal(3, n), [](Place p) { return allgather_bruck(p, 3); }); });
}

TEST(Gather, the_root_ends_with_all_blocks_in_order) {
  const auto run = [](int size, int root, const Blocks& blocks, auto algorithm) {
    World world{.size = size};
    world.plan = [&](int rank) { return algorithm(Place{rank, size}); };
    world.after = [&](int, std::size_t i) {
      int from = 0;
      while (blocks.offset(from + 1) <= i) ++from;
      return one(i - blocks.offset(from), from);
    };
    world.lengths = [&](int rank) {
      return Lengths{blocks.count(rank), rank == root ? blocks.total() : 0, std::nullopt};
    };
    return prove(world);
  };
  for_all_roots([&](int n, int root) {
    return run(n, root, Blocks::equal(2, n), [&](Place p) { return gather_binomial(p, root, 2); });
  });
  for_all_roots([&](int n, int root) {
    const Blocks blocks = uneven(n, 3);
    return run(n, root, blocks, [&](Place p) { return gather_linear(p, root, blocks); });
  });
}

TEST(Scatter, each_rank_ends_with_its_block_of_the_roots) {
  const auto run = [](int size, int root, const Blocks& blocks, auto algorithm) {
    World world{.size = size};
    world.plan = [&](int rank) { return algorithm(Place{rank, size}); };
    world.after = [&](int rank, std::size_t i) { return one(blocks.offset(rank) + i, root); };
    world.lengths = [&](int rank) {
      return Lengths{rank == root ? blocks.total() : 0, blocks.count(rank), std::nullopt};
    };
    return prove(world);
  };
  for_all_roots([&](int n, int root) {
    return run(n, root, Blocks::equal(2, n), [&](Place p) { return scatter_binomial(p, root, 2); });
  });
  for_all_roots([&](int n, int root) {
    const Blocks blocks = uneven(n, 1);
    return run(n, root, blocks, [&](Place p) { return scatter_linear(p, root, blocks); });
  });
}

TEST(Alltoall, block_s_of_rank_r_becomes_block_r_of_rank_s) {
  const auto length = [](int from, int to) { return static_cast<std::size_t>((from * 3 + to) % 3); };
  for_all_sizes([&](int n) {
    std::vector<Blocks> sends;
    std::vector<Blocks> receives;
    for (int r = 0; r < n; ++r) {
      std::vector<std::size_t> s;
      std::vector<std::size_t> t;
      for (int i = 0; i < n; ++i) {
        s.push_back(length(r, i));
        t.push_back(length(i, r));
      }
      sends.emplace_back(s);
      receives.emplace_back(t);
    }
    const auto at = [](int r) { return static_cast<std::size_t>(r); };
    World world{.size = n};
    world.plan = [&](int r) { return alltoall_pairwise({r, n}, sends[at(r)], receives[at(r)]); };
    world.lengths = [&](int r) { return Lengths{sends[at(r)].total(), receives[at(r)].total(), std::nullopt}; };
    world.after = [&](int r, std::size_t i) {
      int from = 0;
      while (receives[at(r)].offset(from + 1) <= i) ++from;
      return one(sends[at(from)].offset(r) + i - receives[at(r)].offset(from), from);
    };
    return prove(world);
  });
  for_all_sizes([&](int n) {
    const auto total = static_cast<std::size_t>(2 * n);
    World world{.size = n};
    world.plan = [&](int r) { return alltoall_bruck({r, n}, 2); };
    world.lengths = [&](int) { return Lengths{total, total, std::nullopt}; };
    world.after = [&](int r, std::size_t i) {
      return one(static_cast<std::size_t>(2 * r) + i % 2, static_cast<int>(i / 2));
    };
    return prove(world);
  });
}

TEST(Scan, rank_r_ends_with_the_contributions_of_those_before_it) {
  for_all_sizes([](int n) {
    World world{.size = n};
    world.plan = [=](int r) { return scan({r, n}, 5); };
    world.after = [](int r, std::size_t i) { return all_of(i, r + 1); };
    return prove_both(world, 5, 5);
  });
  for_all_sizes([](int n) {
    World world{.size = n};
    world.plan = [=](int r) { return exclusive_scan({r, n}, 5); };
    world.after = [](int r, std::size_t i) { return r == 0 ? std::nullopt : std::optional(all_of(i, r)); };
    return prove_both(world, 5, 5);
  });
}

// A barrier ends on no rank before every rank has begun it: each has heard, directly or not, from each.
TEST(Barrier, nobody_leaves_before_all_have_come) {
  for (int size = 1; size <= kSizeMax; ++size) {
    std::vector<std::bitset<kRanksMax>> heard(static_cast<std::size_t>(size));
    std::vector<Plan> plans;
    for (int r = 0; r < size; ++r) {
      heard[static_cast<std::size_t>(r)].set(static_cast<std::size_t>(r));
      plans.push_back(barrier_dissemination({r, size}));
    }
    for (std::size_t round = 0; round < plans[0].rounds(); ++round) {
      const auto before = heard;
      for (std::size_t r = 0; r < plans.size(); ++r) {
        ASSERT_EQ(plans[r].steps[2 * round + 1].kind, StepKind::kReceive);
        heard[r] |= before[static_cast<std::size_t>(plans[r].steps[2 * round + 1].peer)];
      }
    }
    for (const auto& h : heard) ASSERT_EQ(h.count(), static_cast<std::size_t>(size));
    World world{.size = size};
    world.plan = [&](int r) { return plans[static_cast<std::size_t>(r)]; };
    world.lengths = [](int) { return Lengths{}; };
    ASSERT_EQ(prove(world), "");
  }
}

// The prover can say no.
TEST(Prover, finds_a_rank_counted_twice_a_message_too_many_and_a_wait_without_end) {
  World world{.size = 2};
  world.lengths = [](int) { return Lengths{1, 1, std::nullopt}; };
  world.after = [](int, std::size_t i) { return all_of(i, 2); };
  const auto with = [&](auto change) {
    world.plan = [=](int r) {
      Plan plan = allreduce_recursive_doubling({r, 2}, 1);
      change(r, plan);
      return plan;
    };
    return prove(world);
  };
  EXPECT_EQ(with([](int, Plan&) {}), "");
  EXPECT_NE(with([](int r, Plan& plan) {
              if (r == 0) plan.add(reduce(in(0, 1), out(0, 1))).end_round();
            }).find("counts a rank twice"),
            std::string::npos);
  EXPECT_NE(with([](int r, Plan& plan) {
              if (r == 0) plan.add(send(1, out(0, 1))).end_round();
            }).find("waits for ever"),
            std::string::npos);
  EXPECT_NE(with([](int r, Plan& plan) {
              if (r == 0) plan.add(receive(1, out(0, 1))).end_round();
            }).find("waits for ever"),
            std::string::npos);
}

}  // namespace
}  // namespace mobula::collective::test
