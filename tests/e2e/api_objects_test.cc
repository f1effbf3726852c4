// Values of all kinds and sizes on their way between processes, through the public API.
#include <map>
#include <numeric>
#include <variant>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

using Bytes = std::vector<unsigned char>;

Bytes pattern(std::size_t n) {
  Bytes out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<unsigned char>(i * 31 + i / 251);
  return out;
}
Bytes echo(Bytes value) { return value; }
Bytes make(std::size_t n) { return pattern(n); }
std::size_t check(const Bytes& value) { return value == pattern(value.size()) ? value.size() : 0; }
std::size_t check_inside(const std::vector<Ref<Bytes>>& refs) {
  std::size_t n = 0;
  for (const auto& ref : refs) n += check(ref.get(kSoon));
  return n;
}
Ref<Bytes> put_there(std::size_t n) { return put(pattern(n)); }

class Sizes : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Sizes, travel_as_arguments_and_results) {
  const std::size_t n = GetParam();
  EXPECT_EQ(remote<&make>(n).get(kSoon), pattern(n));
  EXPECT_EQ(remote<&check>(pattern(n)).get(kSoon), n);
  EXPECT_EQ(remote<&echo>(pattern(n)).get(kSoon), pattern(n));
}

TEST_P(Sizes, are_put_got_and_handed_on) {
  const std::size_t n = GetParam();
  const Ref<Bytes> ref = put(pattern(n));
  EXPECT_EQ(ref.get(kSoon), pattern(n));
  EXPECT_EQ(remote<&check>(ref).get(kSoon), n);
  EXPECT_EQ(remote<&check_inside>(std::vector{ref, ref}).get(kSoon), 2 * n);
  EXPECT_EQ(remote<&check>(remote<&make>(n)).get(kSoon), n);
}

TEST_P(Sizes, are_owned_by_a_worker_and_read_by_all) {
  const std::size_t n = GetParam();
  const Ref<Bytes> ref = remote<&put_there>(n).get(kSoon);
  EXPECT_EQ(remote<&check>(ref).get(kSoon), n);
  EXPECT_EQ(check(ref.get(kSoon)), n);
}

constexpr std::size_t kInline = 100 * 1024;
INSTANTIATE_TEST_SUITE_P(Values, Sizes,
                         ::testing::Values(1, 63, 64, 65, 71, 72, 73, 79, 80, 81, 100, 4095, 4096, 4097, 5000, 65536,
                                           kInline - 64, kInline - 1, kInline, kInline + 1, (1u << 20) - 1, 1u << 20,
                                           (1u << 20) + 1, 64u << 20),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(Objects, empty_values_are_values) {
  EXPECT_TRUE(remote<&echo>(Bytes{}).get(kSoon).empty());
  EXPECT_TRUE(put(std::string()).get(kSoon).empty());
}

TEST(Objects, many_small_ones_are_put_and_dropped) {
  for (int round = 0; round < 20; ++round) {
    std::vector<Ref<int>> refs;
    for (int i = 0; i < 1000; ++i) refs.push_back(put(i));
    EXPECT_EQ(get(refs, kSoon).back(), 999);
  }
}

// More in total than any store of this machine: memory comes back when references go.
TEST(Objects, memory_of_dropped_references_is_used_again) {
  for (int i = 0; i < 300; ++i) {
    const Ref<Array<char>> ref = seal(alloc<char>(32u << 20));
    ASSERT_TRUE(ref.ready());
  }
}

// ---- user types.

struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};
struct Shape {
  std::string name;
  std::vector<Point> points;
  std::map<std::string, std::optional<int>> tags;
  std::variant<int, std::string> extra;
  bool operator==(const Shape&) const = default;
};
class Model {
 public:
  Model() = default;
  explicit Model(std::size_t n) : weights_(n, 0.5f), step_(n) {}
  template <class Ar>
  void serialize(Ar& ar) {
    ar(weights_, step_);
  }
  bool operator==(const Model&) const = default;

 private:
  std::vector<float> weights_;
  std::size_t step_ = 0;
};

template <class T>
T same(T value) {
  return value;
}

TEST(Types, aggregates_and_hooked_classes_travel) {
  const Shape shape{"hull", {{1, 2}, {3, 4}}, {{"a", 1}, {"b", std::nullopt}}, "text"};
  EXPECT_EQ(remote<&same<Shape>>(shape).get(kSoon), shape);
  EXPECT_EQ(remote<&same<Model>>(Model(100)).get(kSoon), Model(100));
  EXPECT_EQ(remote<&same<Model>>(put(Model(100'000))).get(kSoon), Model(100'000));
  const auto pair = std::pair{std::string("a"), std::vector<std::string>{"b", "c"}};
  EXPECT_EQ((remote<&same<std::pair<std::string, std::vector<std::string>>>>(pair).get(kSoon)), pair);
}

// ---- arrays.

double total(const Array<double>& a) { return std::accumulate(a.begin(), a.end(), 0.0); }
std::uintptr_t where(const Array<double>& a) { return reinterpret_cast<std::uintptr_t>(a.data()) % 64; }
Array<int, 2> table(std::size_t rows, std::size_t columns) {
  auto out = alloc<int>(rows, columns);
  auto all = out.mut();
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
  return out;
}
long corner(const Array<int, 2>& a) { return a(a.extent(0) - 1, a.extent(1) - 1); }

TEST(Arrays, are_sealed_and_read_without_a_copy) {
  for (const std::size_t n : {1u, 10u, 600u, 100'000u, 1'000'000u}) {
    auto array = alloc<double>(n);
    for (auto& v : array.mut()) v = 2;
    const Ref<Array<double>> ref = seal(std::move(array));
    EXPECT_EQ(remote<&total>(ref).get(kSoon), 2.0 * static_cast<double>(n));
    const Array<double> read = ref.get(kSoon);
    EXPECT_EQ(read.size(), n);
    EXPECT_TRUE(read.sealed());
    EXPECT_EQ(remote<&where>(ref).get(kSoon), 0u) << n << " elements are not 64-byte aligned";
  }
}

TEST(Arrays, two_views_of_one_object_are_the_same_memory) {
  auto array = alloc<double>(1'000'000);
  std::fill(array.mut().begin(), array.mut().end(), 1.0);
  const Ref<Array<double>> ref = seal(std::move(array));
  const Array<double> a = ref.get(kSoon);
  const Array<double> b = Ref<Array<double>>(ref).get(kSoon);
  EXPECT_EQ(a.data(), b.data());
}

TEST(Arrays, a_view_outlives_its_reference) {
  Array<double> view;
  {
    auto array = alloc<double>(500'000);
    std::fill(array.mut().begin(), array.mut().end(), 3.0);
    view = seal(std::move(array)).get(kSoon);
  }
  for (int i = 0; i < 20; ++i) {  // Were the memory free, these would take it.
    auto other = alloc<double>(500'000);
    std::fill(other.mut().begin(), other.mut().end(), -1.0);
    const auto ref = seal(std::move(other));
    EXPECT_TRUE(ref.ready());
  }
  EXPECT_EQ(total(view), 1'500'000.0);
}

TEST(Arrays, of_two_dimensions_are_returned_and_sliced) {
  for (const std::size_t n : {3u, 1000u}) {
    const Ref<Array<int, 2>> ref = remote<&table>(n, 500);
    const Array<int, 2> a = ref.get(kSoon);
    EXPECT_EQ(a.shape(), (std::array<std::size_t, 2>{n, 500}));
    EXPECT_EQ(a(1, 2), 502);
    EXPECT_EQ(remote<&corner>(ref).get(kSoon), static_cast<long>(n * 500 - 1));
    EXPECT_EQ(remote<&corner>(a.slice(0, 2).slice(10, 20, 1)).get(kSoon), 519);
  }
}

TEST(Arrays, a_sealed_one_cannot_be_written) {
  auto array = alloc<double>(100);
  auto copy = array;
  const auto ref = seal(std::move(array));
  EXPECT_THROW((void)copy.mut(), std::invalid_argument);
  Array<double> read = ref.get(kSoon);
  EXPECT_THROW((void)read.mut(), std::invalid_argument);
}

TEST(Arrays, travel_inside_values) {
  auto array = alloc<double>(200'000);
  std::fill(array.mut().begin(), array.mut().end(), 0.5);
  const auto pair = put(std::pair{std::string("half"), Array<double>(array)});
  const auto sum = remote<[](const std::pair<std::string, Array<double>>& p) {
    return p.first.size() + std::size_t(total(p.second));
  }>(pair);
  EXPECT_EQ(sum.get(kSoon), 100'004u);
}

}  // namespace
}  // namespace mobula::testing
