#include "objstore/logic/run_allocator.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::objstore {
namespace {

// Which granules are taken, one flag each: what the allocator must agree with.
struct Model {
  std::vector<bool> taken;

  bool all(const FileRun& run, bool value) const {
    for (std::uint64_t i = run.offset; i < run.end(); ++i) {
      if (taken[i] != value) return false;
    }
    return true;
  }
  void set(const FileRun& run, bool value) {
    for (std::uint64_t i = run.offset; i < run.end(); ++i) taken[i] = value;
  }
  std::uint64_t largest() const {
    std::uint64_t best = 0;
    std::uint64_t here = 0;
    for (const bool t : taken) best = std::max(best, here = t ? 0 : here + 1);
    return best;
  }
};

TEST(RunAllocatorTest, AgreesWithAReferenceModelOverRandomWork) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    RunAllocator allocator({0, 500}, 1);
    Model model{std::vector<bool>(500)};
    std::vector<FileRun> live;
    for (int step = 0; step < 2000; ++step) {
      if (random() % 5 < 3) {
        const std::uint64_t size = 1 + random() % (random() % 4 == 0 ? 120 : 12);
        const auto run = allocator.allocate(size, random() % 2 ? RunAllocator::End::kLow : RunAllocator::End::kHigh);
        ASSERT_EQ(run.has_value(), model.largest() >= size);
        if (run) {
          ASSERT_TRUE(model.all(*run, false));
          model.set(*run, true);
          live.push_back(*run);
        }
      } else if (!live.empty()) {
        const std::size_t i = random() % live.size();
        allocator.free(live[i]);
        model.set(live[i], false);
        live[i] = live.back();
        live.pop_back();
      }
      ASSERT_TRUE(allocator.is_valid()) << "seed " << seed << " step " << step;
      ASSERT_EQ(allocator.largest_run(), model.largest());
      ASSERT_EQ(allocator.free_bytes(),
                static_cast<std::uint64_t>(std::count(model.taken.begin(), model.taken.end(), false)));
    }
    for (const FileRun& run : live) allocator.free(run);
    EXPECT_TRUE(allocator.is_empty());
    EXPECT_EQ(allocator.free_runs(), 1u);
  }
}

TEST(RunAllocatorTest, TakesTheSmallestHoleThatFits) {
  RunAllocator allocator({0, 100}, 1);
  allocator.take({10, 10});
  allocator.take({40, 10});  // Holes: 10, 20, 50.
  EXPECT_EQ(allocator.allocate(15)->offset, 20u);
  EXPECT_EQ(allocator.allocate(10)->offset, 0u);
  EXPECT_EQ(allocator.allocate(5, RunAllocator::End::kHigh)->offset, 35u);
  EXPECT_EQ(allocator.largest_run(), 50u);
}

}  // namespace
}  // namespace mobula::objstore
