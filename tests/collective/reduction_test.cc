#include "collective/reduction.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace mobula::collective {
namespace {

TEST(Half, every_binary16_survives_the_way_through_float) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    float16 h;
    h.bits = static_cast<std::uint16_t>(bits);
    const auto f = static_cast<float>(h);
    if (std::isnan(f)) continue;
    ASSERT_EQ(float16(f).bits, h.bits) << bits;
    bfloat16 b;
    b.bits = static_cast<std::uint16_t>(bits);
    const auto g = static_cast<float>(b);
    if (!std::isnan(g)) {
      ASSERT_EQ(bfloat16(g).bits, b.bits) << bits;
    }
  }
  EXPECT_TRUE(std::isnan(static_cast<float>(float16(std::nanf("")))));
  EXPECT_TRUE(std::isnan(static_cast<float>(bfloat16(std::nanf("")))));
}

// The compiler's own conversion is the oracle.
TEST(Half, floats_round_to_the_nearest_binary16_as_the_hardware_does) {
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    const auto f = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(f)) continue;
    const auto wanted = std::bit_cast<std::uint16_t>(static_cast<_Float16>(f));
    ASSERT_EQ(float16(f).bits, wanted) << f;
  }
  EXPECT_EQ(static_cast<float>(float16(65519.f)), 65504.f);
  EXPECT_TRUE(std::isinf(static_cast<float>(float16(65520.f))));
  EXPECT_EQ(static_cast<float>(bfloat16(1.0f + 0x1p-8f)), 1.0f);  // A tie goes to even.
  EXPECT_EQ(static_cast<float>(bfloat16(1.0f + 0x1p-8f + 0x1p-20f)), 1.0f + 0x1p-7f);
}

template <class T>
void check(ReduceOp op, T a, T b, T wanted) {
  const Reduction* r = find_reduction(data_type_of<T>(), op);
  ASSERT_NE(r, nullptr);
  EXPECT_EQ(r->element_bytes, sizeof(T));
  std::vector<T> into(37, a);
  const std::vector<T> with(37, b);
  r->apply(into.data(), into.data(), with.data(), into.size());
  EXPECT_EQ(into, std::vector<T>(37, wanted)) << name_of(data_type_of<T>()) << " " << name_of(op);
}

TEST(Reduction, does_what_it_says_for_every_type) {
  check<std::int8_t>(ReduceOp::kSum, 100, 100, static_cast<std::int8_t>(-56));  // Wraps.
  check<std::int32_t>(ReduceOp::kSum, std::numeric_limits<std::int32_t>::max(), 1,
                      std::numeric_limits<std::int32_t>::min());
  check<std::int16_t>(ReduceOp::kMin, -3, 2, -3);
  check<std::int64_t>(ReduceOp::kMax, -3, 2, 2);
  check<std::uint16_t>(ReduceOp::kProduct, 300, 300, static_cast<std::uint16_t>(90000));
  check<long long>(ReduceOp::kProduct, -3, 4, -12);
  check<std::uint8_t>(ReduceOp::kBitAnd, 0xf3, 0x1f, 0x13);
  check<std::uint32_t>(ReduceOp::kBitOr, 1, 2, 3);
  check<std::uint64_t>(ReduceOp::kBitXor, 5, 3, 6);
  check<float>(ReduceOp::kSum, 1.5f, 2.f, 3.5f);
  check<double>(ReduceOp::kMin, -0.5, 2, -0.5);
  check<std::complex<float>>(ReduceOp::kProduct, {0, 1}, {0, 1}, {-1, 0});
  check<std::complex<double>>(ReduceOp::kSum, {1, 2}, {3, 4}, {4, 6});
  check<float16>(ReduceOp::kSum, float16(1.5f), float16(2.f), float16(3.5f));
  check<bfloat16>(ReduceOp::kMax, bfloat16(1.5f), bfloat16(2.f), bfloat16(2.f));
}

TEST(Reduction, an_average_is_a_sum_that_is_divided_at_the_end) {
  const Reduction* r = find_reduction(DataType::kFloat64, ReduceOp::kAverage);
  std::vector<double> sum{6, 9};
  r->finish(sum.data(), 2, 3);
  EXPECT_EQ(sum, (std::vector<double>{2, 3}));
  const Reduction* i = find_reduction(DataType::kInt32, ReduceOp::kAverage);
  std::vector<std::int32_t> odd{7, -7};
  i->finish(odd.data(), 2, 2);
  EXPECT_EQ(odd, (std::vector<std::int32_t>{3, -3}));
}

TEST(Reduction, there_is_none_where_it_means_nothing) {
  EXPECT_EQ(find_reduction(DataType::kFloat32, ReduceOp::kBitAnd), nullptr);
  EXPECT_EQ(find_reduction(DataType::kComplex64, ReduceOp::kMin), nullptr);
  EXPECT_EQ(find_reduction(DataType::kFloat16, ReduceOp::kBitXor), nullptr);
}

TEST(Reduction, no_two_have_one_id) {
  std::vector<std::uint32_t> ids;
  for (std::uint8_t t = 0; t < 14; ++t) {
    for (std::uint8_t o = 0; o < 8; ++o) {
      if (const auto* r = find_reduction(DataType{t}, ReduceOp{o})) ids.push_back(r->id);
    }
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
  EXPECT_GT(ids.front(), 0u);
}

}  // namespace
}  // namespace mobula::collective
