#include <gtest/gtest.h>

#include "objstore/logic/shared_index.h"
#include "tests/objstore/schedule.h"

// Every interleaving (up to three preemptions) of a few processes at the index, each atomic operation a
// step, with and without a process that is killed before one of its operations.
namespace mobula::objstore {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kUnderThreadSanitizer = true;
#elif defined(__has_feature)
constexpr bool kUnderThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kUnderThreadSanitizer = false;
#endif

using base::ObjectId;
using testing::ScheduledAtomic;
using testing::Schedules;
using Index = SharedIndex<ScheduledAtomic>;

// An index of 64 entries in which the ids of same_home() collide, and one cell of "memory" per entry run.
struct World {
  static constexpr std::size_t kEntries = 64;
  static constexpr std::uint32_t kSlots = 5;

  World() : entries(kEntries), slots(kSlots), pin_bits(kSlots) {
    Index::Memory memory;
    memory.entries = entries.data();
    memory.entry_count = kEntries;
    memory.slots = slots.data();
    memory.slot_count = kSlots;
    memory.pin_bits = pin_bits.data();
    memory.pin_words = 1;
    index = Index(memory);
    for (auto& slot : slots) slot.attached.store(1);
  }
  std::uint32_t put(std::uint32_t slot, const ObjectId& id, std::uint64_t cell) {
    const auto entry = index.claim(id, slot);
    EXPECT_TRUE(entry);
    index.publish(*entry, {id, {cell, 1}, false});
    return *entry;
  }
  // What the raylet does for a slot whose process is gone.
  void repair(std::uint32_t slot) {
    index.drop_pins(slot);
    for (std::uint32_t e = 0; e < kEntries; ++e) {
      const EntryWord word = index.word(e);
      if (word.state() == EntryState::kClaimed && word.slot() == slot) index.swap(e, word, word.emptied());
      if (word.state() == EntryState::kDoomed) index.finish(e);
    }
  }
  std::size_t count(EntryState state) const {
    std::size_t n = 0;
    for (std::uint32_t e = 0; e < kEntries; ++e) n += index.word(e).state() == state ? 1u : 0u;
    return n;
  }

  std::vector<Index::Entry> entries;
  std::vector<Index::Slot> slots;
  std::vector<ScheduledAtomic<std::uint64_t>> pin_bits;
  Index index;
  std::uint64_t memory[4] = {};  // What lies at offset 0, 1, ...
};

const std::vector<ObjectId>& same_home() {
  static const auto ids = [] {
    std::vector<ObjectId> out;
    const std::size_t home = base::IdHash{}(ObjectId::from_words(1, 2, 3, 0)) % World::kEntries;
    for (std::uint32_t i = 0; out.size() < 4; ++i) {
      const ObjectId id = ObjectId::from_words(1, 2, 3, i);
      if (base::IdHash{}(id) % World::kEntries == home) out.push_back(id);
    }
    return out;
  }();
  return ids;
}

class IndexScheduleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kUnderThreadSanitizer) GTEST_SKIP() << "fibers confuse the thread sanitizer";
  }

  // Reads what it finds, twice while pinned.
  Schedules::Process reader(std::uint32_t slot, const ObjectId& id, std::uint64_t expected) {
    return [this, slot, id, expected] {
      const auto found = world->index.find(id);
      if (!found || !world->index.pin(slot, *found)) return;
      const FileRun run = world->index.run_of(found->entry);
      for (int i = 0; i < 2; ++i) {
        Schedules::point();
        if (world->memory[run.offset] != expected) ++wrong_reads;
      }
      world->index.unpin(slot, found->entry);
    };
  }
  // Frees `id` and, once its memory is free, uses entry and memory for `next`.
  Schedules::Process freer(std::uint32_t slot, const ObjectId& id, const ObjectId& next) {
    return [this, slot, id, next] {
      const auto found = world->index.find(id);
      if (!found || !world->index.doom(*found)) return;
      world->index.finish(found->entry);
      reuse(slot, found->entry, next);
    };
  }
  void reuse(std::uint32_t slot, std::uint32_t entry, const ObjectId& next) {
    if (world->index.word(entry).state() != EntryState::kFreed) return;
    const FileRun run = world->index.run_of(entry);
    world->index.reap(entry);
    Schedules::point();
    world->memory[run.offset] = 0xdead;
    const auto again = world->index.claim(next, slot);
    if (!again) return;
    world->memory[run.offset] = 2;
    world->index.publish(*again, {next, run, false});
  }
  void fresh_world() {
    world = std::make_unique<World>();
    wrong_reads = 0;
  }

  std::unique_ptr<World> world;
  std::size_t wrong_reads = 0;
};

TEST_F(IndexScheduleTest, PinnedMemoryIsNeverReused) {
  std::size_t sees_old = 0;
  const std::size_t runs = Schedules::explore(
      {},
      [&] {
        fresh_world();
        world->memory[0] = 1;
        world->put(1, same_home()[0], 0);
        return std::vector<Schedules::Process>{reader(2, same_home()[0], 1), freer(1, same_home()[0], same_home()[1]),
                                               reader(3, same_home()[1], 2)};
      },
      [&](bool) {
        ASSERT_EQ(wrong_reads, 0u);
        ASSERT_EQ(world->count(EntryState::kDoomed), 0u) << "a freed entry that nobody pins was forgotten";
        ASSERT_LE(world->slots[1].frees.load(), 1u);
        sees_old += world->count(EntryState::kFreed);
      });
  EXPECT_GT(runs, 1000u);
  EXPECT_GT(sees_old, 0u) << "in no schedule did the reader finish the entry";
  RecordProperty("schedules", static_cast<int>(runs));
}

TEST_F(IndexScheduleTest, OfTwoLastReadersAndAFreerExactlyOneFinishes) {
  Schedules::explore(
      {},
      [&] {
        fresh_world();
        world->memory[0] = 1;
        world->put(1, same_home()[0], 0);
        auto free = [&] {
          if (const auto found = world->index.find(same_home()[0]); found && world->index.doom(*found)) {
            world->index.finish(found->entry);
          }
        };
        return std::vector<Schedules::Process>{reader(2, same_home()[0], 1), reader(3, same_home()[0], 1), free};
      },
      [&](bool) {
        ASSERT_EQ(wrong_reads, 0u);
        ASSERT_EQ(world->count(EntryState::kFreed), 1u);
        ASSERT_EQ(world->slots[1].frees.load(), 1u);
      });
}

TEST_F(IndexScheduleTest, WhatWasSealedBeforeASearchIsFoundWhateverMoves) {
  bool found = true;
  Schedules::explore(
      {},
      [&] {
        fresh_world();
        world->put(1, same_home()[0], 0);
        world->put(1, same_home()[1], 1);  // At distance 1 from home: searches must pass the first.
        auto search = [&] { found = world->index.find(same_home()[1]).has_value(); };
        auto insert = [&] { world->put(3, same_home()[2], 2); };
        return std::vector<Schedules::Process>{search, freer(1, same_home()[0], same_home()[3]), insert};
      },
      [&](bool) { ASSERT_TRUE(found); });
}

TEST_F(IndexScheduleTest, TwoSealersNeverTakeOneEntry) {
  Schedules::explore(
      {4, -1},
      [&] {
        fresh_world();
        return std::vector<Schedules::Process>{[&] { world->put(1, same_home()[0], 0); },
                                               [&] { world->put(2, same_home()[1], 1); }};
      },
      [&](bool) {
        ASSERT_EQ(world->count(EntryState::kSealed), 2u);
        for (std::uint32_t i = 0; i < 2; ++i) {
          const auto found = world->index.find(same_home()[i]);
          ASSERT_TRUE(found);
          ASSERT_EQ(world->index.run_of(found->entry).offset, i);
        }
      });
}

TEST_F(IndexScheduleTest, AReaderKilledAnywhereKeepsNothing) {
  std::size_t kills = 0;
  Schedules::explore(
      {2, 0},
      [&] {
        fresh_world();
        world->memory[0] = 1;
        world->put(1, same_home()[0], 0);
        auto free = [&] {
          if (const auto found = world->index.find(same_home()[0]); found && world->index.doom(*found)) {
            world->index.finish(found->entry);
          }
        };
        return std::vector<Schedules::Process>{reader(2, same_home()[0], 1), free, reader(3, same_home()[0], 1)};
      },
      [&](bool killed) {
        kills += killed ? 1u : 0u;
        if (killed) world->repair(2);
        ASSERT_EQ(wrong_reads, 0u);
        ASSERT_EQ(world->count(EntryState::kFreed), 1u);
        ASSERT_FALSE(world->index.has_pins(2));
      });
  EXPECT_GT(kills, 100u);
}

TEST_F(IndexScheduleTest, ASealerKilledAnywhereLeavesAWholeObjectOrNone) {
  std::size_t whole = 0;
  std::size_t none = 0;
  Schedules::explore(
      {2, 0},
      [&] {
        fresh_world();
        world->put(4, same_home()[2], 1);  // So that what is sealed lies beyond its home.
        auto write = [&] {
          Schedules::point();
          world->memory[3] = 1;
          world->put(1, same_home()[0], 3);
        };
        return std::vector<Schedules::Process>{write, reader(2, same_home()[0], 1),
                                               [&] { world->put(3, same_home()[1], 2); }};
      },
      [&](bool killed) {
        if (killed) world->repair(1);
        ASSERT_EQ(wrong_reads, 0u);
        ASSERT_EQ(world->count(EntryState::kClaimed), 0u);
        ASSERT_TRUE(world->index.find(same_home()[1]));
        const auto found = world->index.find(same_home()[0]);
        whole += found ? 1u : 0u;
        none += found ? 0u : 1u;
        ASSERT_EQ(world->count(EntryState::kSealed), found ? 3u : 2u) << "sealed where no search looks";
      });
  EXPECT_GT(whole, 0u);
  EXPECT_GT(none, 0u);
}

TEST_F(IndexScheduleTest, AFreerKilledAnywhereLosesNoMemory) {
  Schedules::explore(
      {2, 0},
      [&] {
        fresh_world();
        world->memory[0] = 1;
        world->put(4, same_home()[0], 0);
        auto free = [&] {
          if (const auto found = world->index.find(same_home()[0]); found && world->index.doom(*found)) {
            world->index.finish(found->entry);
          }
        };
        return std::vector<Schedules::Process>{free, reader(2, same_home()[0], 1), reader(3, same_home()[0], 1)};
      },
      [&](bool killed) {
        if (killed) world->repair(1);
        ASSERT_EQ(wrong_reads, 0u);
        ASSERT_EQ(world->count(EntryState::kDoomed), 0u);
        ASSERT_EQ(world->count(EntryState::kFreed) + world->count(EntryState::kSealed), 1u);
      });
}

}  // namespace
}  // namespace mobula::objstore
