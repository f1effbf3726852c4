#include "transport/ucx/reorder.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace mobula::transport::ucx {
namespace {

constexpr std::size_t kRoom = 1u << 20;

MessageHeader numbered(std::uint32_t sequence) {
  MessageHeader head;
  head.sequence = sequence;
  head.type = static_cast<std::uint16_t>(sequence);
  return head;
}

TEST(Reorder, WhatComesInOrderNeverWaits) {
  BufferCache buffers;
  Reorder reorder(buffers, kRoom);
  for (std::uint32_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(reorder.is_next(i));
    reorder.advance();
  }
  EXPECT_FALSE(reorder.ready());
  EXPECT_EQ(reorder.held_bytes(), 0u);
}

TEST(Reorder, AnyArrivalOrderComesOutAsSent) {
  BufferCache buffers;
  std::mt19937 random(42);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::uint32_t> order(40);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    Reorder reorder(buffers, kRoom);
    std::vector<std::uint32_t> out;
    std::vector<Held*> filling;
    const auto drain = [&] {
      while (reorder.ready()) out.push_back(reorder.take()->head.sequence);
    };
    for (const std::uint32_t sequence : order) {
      if (reorder.is_next(sequence)) {
        out.push_back(sequence);
        reorder.advance();
      } else {
        Held* held = reorder.hold(numbered(sequence), 3, 5);
        ASSERT_NE(held, nullptr);
        if (random() % 4 == 0) {
          held->state = Held::State::kFilling;
          filling.push_back(held);
        }
      }
      drain();
      ASSERT_TRUE(reorder.is_valid());
    }
    for (Held* held : filling) {
      held->state = Held::State::kReady;
      drain();
    }
    ASSERT_EQ(out.size(), order.size());
    EXPECT_TRUE(std::is_sorted(out.begin(), out.end()));
    EXPECT_EQ(reorder.held_bytes(), 0u);
  }
}

TEST(Reorder, SequencesWrap) {
  BufferCache buffers;
  Reorder reorder(buffers, kRoom, 0xffff'fffeu);
  ASSERT_NE(reorder.hold(numbered(1), 0, 4), nullptr);
  ASSERT_NE(reorder.hold(numbered(0xffff'ffffu), 0, 4), nullptr);
  ASSERT_NE(reorder.hold(numbered(0), 0, 4), nullptr);
  EXPECT_FALSE(reorder.ready());
  ASSERT_NE(reorder.hold(numbered(0xffff'fffeu), 0, 4), nullptr);
  for (const std::uint32_t expected : {0xffff'fffeu, 0xffff'ffffu, 0u, 1u}) {
    ASSERT_TRUE(reorder.ready());
    EXPECT_EQ(reorder.take()->head.sequence, expected);
  }
}

TEST(Reorder, WhatWasDeliveredOrIsThereIsRefused) {
  BufferCache buffers;
  Reorder reorder(buffers, kRoom);
  reorder.advance();
  EXPECT_EQ(reorder.hold(numbered(0), 0, 4), nullptr);
  ASSERT_NE(reorder.hold(numbered(3), 0, 4), nullptr);
  EXPECT_EQ(reorder.hold(numbered(3), 0, 4), nullptr);
  EXPECT_TRUE(reorder.is_valid());
}

TEST(Reorder, WhatWaitsIsBounded) {
  BufferCache buffers;
  Reorder reorder(buffers, 10'000);
  EXPECT_EQ(reorder.hold(numbered(1), 0, 20'000), nullptr);
  EXPECT_EQ(reorder.hold(numbered(1), 0, ~std::size_t{0}), nullptr);
  std::uint32_t held = 0;
  while (reorder.hold(numbered(held + 1), 100, 900) != nullptr) ++held;
  EXPECT_EQ(held, 10'000u / (1000 + Reorder::kHeldOverheadBytes));
  EXPECT_EQ(reorder.hold(numbered(Reorder::kHeldMax), 0, 0), nullptr);
  EXPECT_TRUE(reorder.is_valid());
}

TEST(BufferCache, ALargePieceComesBackAndTheRestIsBounded) {
  BufferCache buffers;
  BufferCache::Piece piece = buffers.take(100'000);
  const std::byte* at = piece.memory.get();
  EXPECT_EQ(piece.capacity, 131'072u);
  buffers.give_back(std::move(piece));
  EXPECT_EQ(buffers.take(131'072).memory.get(), at);
  buffers.give_back(buffers.take(BufferCache::kKeptBytesMax * 2));  // Not kept.
}

}  // namespace
}  // namespace mobula::transport::ucx
