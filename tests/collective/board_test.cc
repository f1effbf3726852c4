#include "collective/board.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>
#include <random>
#include <thread>

#include <gtest/gtest.h>

namespace mobula::collective {
namespace {

using Values = std::vector<std::int64_t>;

// Ranks as threads: their memory is where it is, or has to be copied, as the test says.
class ThreadReach final : public Reach {
 public:
  enum class Way { kNone, kInPlace, kCopies, kMixed };  // kMixed: in place where an address has an even page.
  explicit ThreadReach(Way way) : way_(way) {}
  std::optional<std::uint64_t> shared_offset(const std::byte* at, std::size_t) const override {
    const auto address = reinterpret_cast<std::uint64_t>(at);
    if (way_ == Way::kInPlace || (way_ == Way::kMixed && address / 4096 % 2 == 0)) return address;
    return std::nullopt;
  }
  const std::byte* shared(std::uint64_t offset) const override { return reinterpret_cast<const std::byte*>(offset); }
  bool copies() const override { return way_ == Way::kCopies || way_ == Way::kMixed; }
  bool copy(int, std::uint64_t address, std::byte* into, std::size_t bytes) const override {
    std::memcpy(into, shared(address), bytes);
    return true;
  }

 private:
  Way way_;
};

// Ranks as threads of this process; each asks its own dice when to dawdle.
class Team {
 public:
  explicit Team(int size, ThreadReach::Way way = ThreadReach::Way::kNone)
      : size_(size), has_reach_(way != ThreadReach::Way::kNone), reach_(way) {
    for (int r = 0; r < size; ++r) {
      void* memory = std::aligned_alloc(64, (sizeof(Board::Block) + 63) / 64 * 64);
      memory_.emplace_back(memory, &std::free);
      blocks_.push_back(&Board::format(memory));
    }
  }
  int size() const { return size_; }

  template <class F>
  void run(F&& f) {
    std::vector<std::thread> threads;
    for (int r = 0; r < size_; ++r) {
      threads.emplace_back([&, r] {
        Board board({r, size_}, *blocks_[static_cast<std::size_t>(r)], {blocks_.begin(), blocks_.end()},
                    has_reach_ ? &reach_ : nullptr);
        f(board, r);
      });
    }
    for (auto& t : threads) t.join();
  }

 private:
  int size_;
  bool has_reach_;
  ThreadReach reach_;
  std::vector<std::unique_ptr<void, decltype(&std::free)>> memory_;
  std::vector<Board::Block*> blocks_;
};

class Yielding final : public Board::Patience {
 public:
  explicit Yielding(unsigned seed) : random_(seed) {}
  bool wait_more(std::uint64_t spins) override {
    if (spins % 8 == 7) std::this_thread::yield();
    return !stop.load(std::memory_order_relaxed);
  }
  void wake(int) override {}
  void dawdle() {
    if (random_() % 4 == 0) std::this_thread::yield();
  }
  static inline std::atomic<bool> stop{false};  // One has failed.

 private:
  std::mt19937 random_;
};

std::int64_t value(int rank, std::size_t i) { return (rank + 1) * 1'000'003 + static_cast<std::int64_t>(i) * 7; }
std::int64_t sum_to(int ranks, std::size_t i) {
  std::int64_t sum = 0;
  for (int r = 0; r < ranks; ++r) sum += value(r, i);
  return sum;
}

// One call with buffers whose result is known; empty when it is right.
std::string call(Board& board, Place place, Operation operation, std::size_t count, int root, Yielding& patience) {
  const Reduction* sum = find_reduction(DataType::kInt64, ReduceOp::kSum);
  const auto size = static_cast<std::size_t>(place.size);
  const auto rank = static_cast<std::size_t>(place.rank);
  const bool input_all =
      operation == Operation::kScatter || operation == Operation::kReduceScatter || operation == Operation::kAlltoall;
  const bool output_all =
      operation == Operation::kGather || operation == Operation::kAllgather || operation == Operation::kAlltoall;
  Values in(input_all ? count * size : count);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = value(place.rank, i);
  Values out(output_all ? count * size : count, -1);
  if (operation == Operation::kBroadcast && place.rank == root) out = in;
  const bool reduces = operation == Operation::kAllreduce || operation == Operation::kReduce ||
                       operation == Operation::kReduceScatter || operation == Operation::kScan ||
                       operation == Operation::kExclusiveScan;
  const Request request{operation, root, count, 8, {}, {}};
  if (!board.can_run(request)) return "cannot";
  if (board.run(request, reduces ? sum : nullptr, in.data(), out.data(), patience) != Board::Outcome::kDone) {
    return "not done";
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::int64_t wanted = out[i];
    switch (operation) {
      case Operation::kAllreduce: wanted = sum_to(place.size, i); break;
      case Operation::kReduce:
        if (place.rank == root) wanted = sum_to(place.size, i);
        break;
      case Operation::kBroadcast: wanted = value(root, i); break;
      case Operation::kScatter: wanted = value(root, rank * count + i); break;
      case Operation::kReduceScatter: wanted = sum_to(place.size, rank * count + i); break;
      case Operation::kGather:
        if (place.rank == root) wanted = value(static_cast<int>(i / count), i % count);
        break;
      case Operation::kAllgather: wanted = value(static_cast<int>(i / count), i % count); break;
      case Operation::kAlltoall: wanted = value(static_cast<int>(i / count), rank * count + i % count); break;
      case Operation::kScan: wanted = sum_to(place.rank + 1, i); break;
      case Operation::kExclusiveScan:
        if (place.rank > 0) wanted = sum_to(place.rank, i);
        break;
      default: break;
    }
    if (out[i] != wanted) return std::string(name_of(operation)) + ", element " + std::to_string(i);
  }
  return {};
}

TEST(Board, gives_every_rank_the_right_result_whatever_calls_follow_each_other) {
#ifdef MOBULA_SANITIZED
  constexpr int kCalls = 60;
#else
  constexpr int kCalls = 300;
#endif
  using Way = ThreadReach::Way;
  struct Case {
    int size;
    Way way;
  };
  for (const Case c : {Case{1, Way::kNone},
                       {2, Way::kNone},
                       {3, Way::kNone},
                       {4, Way::kInPlace},
                       {7, Way::kNone},
                       {1, Way::kCopies},
                       {2, Way::kInPlace},
                       {2, Way::kCopies},
                       {3, Way::kCopies},
                       {3, Way::kMixed},
                       {4, Way::kCopies},
                       {7, Way::kMixed}}) {
    const int size = c.size;
    const Way way = c.way;
    Team team(size, way);
    team.run([&](Board& board, int rank) {
      std::mt19937 same(static_cast<unsigned>(size));  // The same dice on every rank.
      Yielding patience(static_cast<unsigned>(rank));
      for (int i = 0; i < (way == Way::kNone ? kCalls : kCalls / 4); ++i) {
        const auto operation = static_cast<Operation>(same() % (kOperations - 1));
        const std::size_t count = same() % 12 == 0 ? 30'000 + same() % 60'000 : same() % 20;
        const int root = static_cast<int>(same() % static_cast<unsigned>(size));
        patience.dawdle();
        const std::string wrong = call(board, {rank, size}, operation, count, root, patience);
        if (wrong.empty()) continue;
        EXPECT_EQ(wrong, "") << "call " << i << ", rank " << rank;
        Yielding::stop = true;
        return;
      }
    });
  }
}

TEST(Board, a_rank_that_waits_for_one_that_never_comes_can_give_up_and_says_whom_it_waits_for) {
  Team team(3);
  team.run([&](Board& board, int rank) {
    if (rank == 2) return;
    struct Impatient final : Board::Patience {
      bool wait_more(std::uint64_t spins) override {
        std::this_thread::yield();
        return spins < 100'000 && !(spins > 1000 && board->waits_for() == std::vector<int>{2});
      }
      void wake(int) override {}
      Board* board = nullptr;
    } patience;
    patience.board = &board;
    EXPECT_EQ(board.run({Operation::kBarrier, 0, 0, 1, {}, {}}, nullptr, nullptr, nullptr, patience),
              Board::Outcome::kGivenUp);
    EXPECT_EQ(board.waits_for(), std::vector<int>{2});
  });
}

TEST(Board, ranks_that_call_something_else_are_found_out) {
  Team team(2);
  std::atomic<int> found{0};
  team.run([&](Board& board, int rank) {
    Yielding patience(1);
    Values data(rank == 0 ? 2 : 3, 1);
    const Reduction* sum = find_reduction(DataType::kInt64, ReduceOp::kSum);
    const auto outcome =
        board.run({Operation::kAllreduce, 0, data.size(), 8, {}, {}}, sum, data.data(), data.data(), patience);
    if (outcome != Board::Outcome::kMismatch) return;
    ++found;
    EXPECT_EQ(board.mismatched_with(), 1 - rank);
    EXPECT_EQ(board.signature_of(1 - rank).count, rank == 0 ? 3u : 2u);
  });
  EXPECT_EQ(found, 2);
}

TEST(Board, a_rank_that_falls_asleep_is_woken_by_whoever_it_waits_for) {
  Team team(2);
  std::atomic<bool> asleep{false};
  std::atomic<bool> woken{false};
  team.run([&](Board& board, int rank) {
    struct Sleeper final : Board::Patience {
      bool wait_more(std::uint64_t) override {
        if (!told) {
          told = true;
          if (board->fall_asleep()) return true;
          asleep->store(true);
        }
        if (woken->load()) board->wake_up();
        std::this_thread::yield();
        return true;
      }
      void wake(int) override { woken->store(true); }
      Board* board;
      std::atomic<bool>* asleep;
      std::atomic<bool>* woken;
      bool told = false;
    } patience;
    patience.board = &board;
    patience.asleep = &asleep;
    patience.woken = &woken;
    if (rank == 1) {
      while (!asleep.load()) std::this_thread::yield();
    }
    EXPECT_EQ(board.run({Operation::kBarrier, 0, 0, 1, {}, {}}, nullptr, nullptr, nullptr, patience),
              Board::Outcome::kDone);
  });
  EXPECT_TRUE(woken);
}

TEST(Board, sums_of_floats_have_the_same_bits_on_every_rank_and_in_every_run) {
  std::vector<std::vector<float>> first;
  for (int run = 0; run < 4; ++run) {
    Team team(4, static_cast<ThreadReach::Way>(run));  // In place of the callers: `data` is input and output.
    std::vector<std::vector<float>> results(4);
    team.run([&](Board& board, int rank) {
      Yielding patience(static_cast<unsigned>(run));
      std::mt19937 random(static_cast<unsigned>(rank));
      std::vector<float> data(300'000);
      for (float& f : data) f = static_cast<float>(random()) / 1e6f;
      ASSERT_EQ(board.run({Operation::kAllreduce, 0, data.size(), 4, {}, {}},
                          find_reduction(DataType::kFloat32, ReduceOp::kSum), data.data(), data.data(), patience),
                Board::Outcome::kDone);
      results[static_cast<std::size_t>(rank)] = data;
    });
    for (const auto& r : results) EXPECT_EQ(r, results[0]);
    if (run == 0) first = results;
    EXPECT_EQ(results, first);
  }
}

TEST(Board, nobody_ends_well_with_what_it_read_of_a_rank_that_has_left_in_the_middle) {
  Team team(3, ThreadReach::Way::kInPlace);
  std::atomic<int> left{0};
  team.run([&](Board& board, int rank) {
    if (rank == 2) return;  // It died before the call.
    struct Leaving final : Board::Patience {
      bool wait_more(std::uint64_t spins) override {
        std::this_thread::yield();
        return spins < 10'000;
      }
      void wake(int) override {}
    } patience;
    Values data(100'000, rank);
    const Reduction* sum = find_reduction(DataType::kInt64, ReduceOp::kSum);
    const Request request{Operation::kAllreduce, 0, data.size(), 8, {}, {}};
    if (board.run(request, sum, data.data(), data.data(), patience) == Board::Outcome::kGivenUp) ++left;
  });
  EXPECT_EQ(left, 2);
}

}  // namespace
}  // namespace mobula::collective
