#include "mobula/serialize.h"

#include <complex>
#include <deque>
#include <list>
#include <map>
#include <random>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include <gtest/gtest.h>

#include "mobula/mobula.h"
#include "tests/api/local_runtime.h"

namespace mobula {
namespace {

using runtime::Decoder;
using runtime::Encoder;

enum class Colour : std::uint8_t { red, green };

struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};
struct Record {
  std::string name;
  std::vector<int> numbers;
  std::optional<Point> at;
  std::map<std::string, std::vector<std::string>> words;
  bool operator==(const Record&) const = default;
};
struct Node {  // A type that contains itself.
  int value = 0;
  std::vector<Node> children;
  std::unique_ptr<Node> next;
  bool operator==(const Node& o) const {
    return value == o.value && children == o.children && (next ? o.next && *next == *o.next : !o.next);
  }
};
struct Wide {
  std::string f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11;
  int g0 = 0, g1 = 1, g2 = 2, g3 = 3, g4 = 4, g5 = 5, g6 = 6, g7 = 7, g8 = 8, g9 = 9, g10 = 10, g11 = 11;
  bool operator==(const Wide&) const = default;
};
struct NoDefault {
  std::string text;
  Point p;
  struct Key {
    explicit Key(int v) : value(v) {}
    int value;
    bool operator==(const Key&) const = default;
  } key;
  bool operator==(const NoDefault&) const = default;
};
class Hidden {
 public:
  Hidden() = default;
  Hidden(std::string a, int b) : a_(std::move(a)), b_(b) {}
  template <class Ar>
  void serialize(Ar& ar) {
    ar(a_, b_);
    if (Ar::reading) read_ = true;
  }
  bool read() const { return read_; }
  bool operator==(const Hidden& o) const { return a_ == o.a_ && b_ == o.b_; }

 private:
  std::string a_;
  int b_ = 0;
  bool read_ = false;
};
class Outside {
 public:
  int value() const { return value_; }
  void set(int v) { value_ = v; }
  virtual ~Outside() = default;

 private:
  int value_ = 0;
};
template <class Ar>
void serialize(Ar& ar, Outside& o) {
  int v = o.value();
  ar(v);
  o.set(v);
}

runtime::View payload_of(const Encoder& e) {
  const std::size_t n = e.payload_bytes();
  std::shared_ptr<std::byte> bytes(static_cast<std::byte*>(std::aligned_alloc(64, runtime::align_up(n + 1, 64))),
                                   std::free);
  e.flatten(bytes.get());
  const std::byte* data = bytes.get();
  return {{data, n}, bytes};
}
template <class T>
T through_payload(const T& v) {
  Encoder e;
  detail::encode(e, v);
  const runtime::View view = payload_of(e);
  Decoder d = Decoder::payload(view);
  T out = detail::decode<T>(d);
  EXPECT_TRUE(d.ok());
  EXPECT_EQ(d.left(), 0u);
  return out;
}
template <class T>
void expect_travels(const T& v) {
  EXPECT_EQ(through_payload(v), v);
}

TEST(Serialize, CarriesPlainValues) {
  expect_travels(7);
  expect_travels(-2.5);
  expect_travels(true);
  expect_travels(Colour::green);
  expect_travels(Point{1, 2});
  expect_travels(std::complex<double>(1, -1));
  expect_travels(std::chrono::milliseconds(5));
  expect_travels(std::array<int, 3>{1, 2, 3});
}

TEST(Serialize, CarriesStandardContainers) {
  expect_travels(std::string("text"));
  expect_travels(std::u32string(U"long"));
  expect_travels(std::vector<int>{1, 2, 3});
  expect_travels(std::vector<bool>{true, false, true});
  expect_travels(std::vector<std::string>{"a", "", "c"});
  expect_travels(std::array<std::string, 2>{"a", "b"});
  expect_travels(std::deque<int>{4, 5});
  expect_travels(std::list<std::string>{"x"});
  expect_travels(std::set<int>{3, 1});
  expect_travels(std::multiset<int>{3, 3});
  expect_travels(std::unordered_set<std::string>{"p", "q"});
  expect_travels(std::map<int, std::string>{{1, "one"}, {2, "two"}});
  expect_travels(std::multimap<int, int>{{1, 1}, {1, 2}});
  expect_travels(std::unordered_map<std::string, Point>{{"o", {0, 0}}});
}

TEST(Serialize, CarriesSumsAndProducts) {
  expect_travels(std::pair<int, std::string>{1, "a"});
  expect_travels(std::tuple<int, std::string, Point>{1, "a", {1, 2}});
  expect_travels(std::tuple<>{});
  expect_travels(std::vector<std::tuple<>>(5));
  expect_travels(std::optional<std::string>{});
  expect_travels(std::optional<std::string>{"here"});
  expect_travels(std::variant<int, std::string>{"text"});
  expect_travels(std::variant<std::monostate, int>{});
}

TEST(Serialize, CarriesAggregatesWithoutAWord) {
  expect_travels(Record{"r", {1, 2}, Point{3, 4}, {{"k", {"a", "b"}}}});
  expect_travels(Wide{"a", "b"});
  expect_travels(NoDefault{"t", {1, 2}, NoDefault::Key(7)});
  Node root{1, {}, std::make_unique<Node>()};
  root.children.push_back(Node{2, {}, nullptr});
  root.next->value = 9;
  EXPECT_EQ(through_payload(root), root);
}

TEST(Serialize, CarriesTypesWithAHook) {
  expect_travels(Hidden("secret", 5));
  EXPECT_TRUE(through_payload(Hidden("secret", 5)).read());
  expect_travels(std::vector<Hidden>{{"a", 1}, {"b", 2}});
  Outside o;
  o.set(11);
  EXPECT_EQ(through_payload(o).value(), 11);
}

TEST(Serialize, CarriesAUniquePtr) {
  EXPECT_EQ(*through_payload(std::make_unique<int>(5)), 5);
  EXPECT_EQ(through_payload(std::unique_ptr<std::string>()), nullptr);
}

TEST(Serialize, PutsLongBlocksBesideTheStream) {
  const std::vector<float> v(100'000, 2.5f);
  Encoder e;
  detail::encode(e, v);
  EXPECT_FALSE(e.plain());
  EXPECT_LT(e.meta().size(), 100u);
  expect_travels(v);
  expect_travels(std::string(10'000, 'x'));
  expect_travels(std::vector<std::string>(3, std::string(5'000, 'y')));
}

TEST(Serialize, CarriesMoreLongBlocksThanAPayloadHasBuffers) {
  expect_travels(std::vector<std::string>(runtime::kPayloadBuffersMax + 10, std::string(4096, 'z')));
}

TEST(Serialize, CarriesARefAndAHandleInsideValues) {
  tests::LocalSession session;
  const std::vector<Ref<int>> refs{put(4), Ref<int>()};
  const auto back = through_payload(refs);
  EXPECT_EQ(back[0].get(), 4);
  EXPECT_FALSE(back[1]);
}

TEST(Array, TravelsWithoutACopyWhenLong) {
  tests::LocalSession session;
  auto a = alloc<double>(64, 100);
  std::iota(a.mut().begin(), a.mut().end(), 0.0);
  const double* written = a.data();
  const Ref<Array<double, 2>> ref = seal(std::move(a));
  const Array<double, 2> view = ref.get();
  EXPECT_EQ(view.data(), written);
  EXPECT_EQ(view.extent(0), 64u);
  EXPECT_EQ(view(2, 3), 203.0);
}

TEST(Array, TravelsByValueAndKeepsItsShape) {
  tests::LocalSession session;
  auto a = alloc<int>(10, 10);
  std::iota(a.mut().begin(), a.mut().end(), 0);
  const auto back = through_payload(a);
  EXPECT_EQ(back.shape(), a.shape());
  EXPECT_TRUE(std::ranges::equal(back.span(), a.span()));
  const auto columns = through_payload(a.slice(2, 5, 1));  // Has holes.
  EXPECT_EQ(columns.extent(1), 3u);
  EXPECT_EQ(columns(4, 1), 43);
  EXPECT_TRUE(through_payload(Array<int>()).empty());
}

TEST(Array, CannotBeWrittenOnceSealed) {
  tests::LocalSession session;
  auto a = alloc<int>(4);
  Array<int> copy = a;
  std::ranges::fill(a.mut(), 1);
  const auto ref = seal(std::move(a));
  EXPECT_THROW(copy.mut(), InvalidArgument);
  EXPECT_EQ(copy[3], 1);  // The memory is still there.
  Array<int> got = ref.get();
  EXPECT_TRUE(got.sealed());
  EXPECT_THROW(got.mut(), InvalidArgument);
  EXPECT_THROW(static_cast<void>(alloc<double>(std::size_t{1} << 60, 16)), InvalidArgument);
}

// ---- bytes from outside.

using Anything =
    std::tuple<Record, std::vector<Node>, std::variant<int, std::string, std::vector<Hidden>>, std::deque<std::string>,
               std::unordered_map<std::string, std::set<int>>, std::vector<double>, Array<float, 2>, std::vector<bool>>;

Anything random_value(std::mt19937& g) {
  auto n = [&](unsigned max) { return static_cast<unsigned>(g() % (max + 1)); };
  auto text = [&] { return std::string(n(20), static_cast<char>('a' + n(25))); };
  Record r{text(), std::vector<int>(n(8)), {}, {}};
  for (unsigned i = n(4); i != 0; --i) r.words[text()] = {text(), text()};
  if (n(1) != 0) r.at = Point{1.5, 2.5};
  std::vector<Node> nodes(n(3));
  for (Node& node : nodes) node.next = n(1) != 0 ? std::make_unique<Node>() : nullptr;
  std::unordered_map<std::string, std::set<int>> sets{{text(), {1, 2, static_cast<int>(n(9))}}};
  auto array = alloc<float>(n(3), n(400));
  std::ranges::fill(array.mut(), 1.f);
  return {std::move(r),
          std::move(nodes),
          std::vector<Hidden>(n(3), Hidden("h", 1)),
          std::deque<std::string>(n(2), text()),
          std::move(sets),
          std::vector<double>(n(1000), 0.5),
          array,
          std::vector<bool>(n(40), true)};
}

TEST(Serialize, RoundTripsRandomValues) {
  tests::LocalSession session;
  std::mt19937 g(7);
  for (int i = 0; i < 300; ++i) {
    Encoder first, second;
    const Anything v = random_value(g);
    detail::encode(first, v);
    const runtime::View view = payload_of(first);
    Decoder d = Decoder::payload(view);
    const Anything back = detail::decode<Anything>(d);
    ASSERT_TRUE(d.ok());
    detail::encode(second, back);
    const runtime::View again = payload_of(second);
    ASSERT_EQ(std::get<0>(v), std::get<0>(back));
    ASSERT_EQ(view.bytes.size(), again.bytes.size());
  }
}

TEST(Serialize, SurvivesDamagedBytes) {
  tests::LocalSession session;
  std::mt19937 g(11);
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    Encoder e;
    const Anything v = random_value(g);
    detail::encode(e, v);
    const runtime::View view = payload_of(e);
    std::vector<std::byte> bytes(view.bytes.begin(), view.bytes.end());
    if (i % 3 == 0) bytes.resize(g() % (bytes.size() + 1));
    for (unsigned flips = g() % 4; flips != 0 && !bytes.empty(); --flips) {
      bytes[g() % bytes.size()] = static_cast<std::byte>(g());
    }
    Decoder d = Decoder::payload({bytes, nullptr});
    const Anything back = detail::decode<Anything>(d);
    refused += d.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 1000);
}

TEST(Serialize, BelievesNoLengthBeyondTheBytes) {
  Encoder e;
  e.put(std::uint64_t{1} << 40);
  Decoder d = Decoder::plain(e.meta());
  EXPECT_TRUE(detail::decode<std::vector<std::string>>(d).empty());
  EXPECT_FALSE(d.ok());
  Decoder s = Decoder::plain(e.meta());
  EXPECT_TRUE(detail::decode<std::string>(s).empty());
  EXPECT_FALSE(s.ok());
  Encoder wild;
  wild.put(~std::uint64_t{0});
  Decoder w = Decoder::plain(wild.meta());
  EXPECT_TRUE(detail::decode<std::vector<double>>(w).empty());
  EXPECT_FALSE(w.ok());
}

}  // namespace
}  // namespace mobula
