#include <sys/mman.h>

#include <chrono>
#include <random>

#include "tests/objstore/processes.h"

// Children put, get, pin and free at random and are killed at random moments.  After each death the
// raylet takes back what the child held, the store's invariants hold, and nobody ever reads a byte that is wrong.
//
// MOBULA_CHAOS_KILLS sets how many children are killed (without it: as many as fit into some seconds).
namespace mobula::objstore {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kObjects = 150;
constexpr int kChildren = 3;
constexpr auto kDuration = std::chrono::seconds(6);

// Size and content follow from the number, so that any reader can tell whether it got all of the right object.
std::size_t size_of(std::uint64_t n) {
  const std::uint64_t dice = base::mix64(n) % 100;
  return dice < 60 ? 8 * (dice + 1) : dice < 95 ? 8 * (dice * 83) : 8 * (dice * 5300);
}
std::uint64_t content(std::uint64_t n, std::size_t i) { return base::mix64(n) + i * 0x9e3779b97f4a7c15u; }

void fill(const Allocation& allocation, std::uint64_t n) {
  auto* words = reinterpret_cast<std::uint64_t*>(allocation.bytes().data());
  for (std::size_t i = 0; i < size_of(n) / 8; ++i) words[i] = content(n, i);
}
bool is_whole(const Pin& pin, std::uint64_t n) {
  if (pin.bytes().size() != size_of(n)) return false;
  const auto* words = reinterpret_cast<const std::uint64_t*>(pin.bytes().data());
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < size_of(n) / 8; ++i) wrong |= words[i] ^ content(n, i);
  return wrong == 0;
}

// Counters that survive the children.
struct Tally {
  std::atomic<std::uint64_t> puts, gets, pins, frees, wrong;
};

void step(ChildSide& side, std::mt19937_64& random, std::vector<std::pair<std::uint64_t, Pin>>& held, Tally& tally) {
  const std::uint64_t n = random() % kObjects;
  const auto dice = random() % 100;
  if (dice < 30) {
    auto allocation = side.allocate(size_of(n));
    if (!allocation) return;
    fill(*allocation, n);
    if (random() % 20 == 0) return;  // Forgotten.
    if (random() % 20 == 0) return side.client.abort(std::move(*allocation));
    const Copy copy = random() % 2 ? Copy::kPrimary : Copy::kSecondary;
    if (side.client.seal(std::move(*allocation), id_of(n), copy)) ++tally.puts;
  } else if (dice < 70) {
    auto pin = side.client.get(id_of(n));
    if (!pin) return;
    ++tally.gets;
    if (!is_whole(*pin, n)) ++tally.wrong;
    if (random() % 2) held.emplace_back(n, std::move(*pin));
  } else if (dice < 80) {
    if (side.client.free(id_of(n))) ++tally.frees;
  } else if (dice < 85) {
    if (side.ask({Request::Kind::kFree, n, 0}).ok) ++tally.frees;
  } else if (dice < 97) {
    if (held.empty()) return;
    const std::size_t i = random() % held.size();
    if (!is_whole(held[i].second, held[i].first)) ++tally.wrong;  // Freed meanwhile, or not.
    std::swap(held[i], held.back());
    held.pop_back();
    ++tally.pins;
  } else {
    for (const SlabGrant& slab : side.client.take_empty_slabs(0)) {
      if (!side.ask({Request::Kind::kReturn, slab.offset, slab.size}).ok) ++tally.wrong;
    }
  }
}

class StoreKillTest : public ::testing::Test {
 protected:
  StoreKillTest() : node_(options()), checker_(node_.attach()) {
    void* at = ::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tally_ = new (at) Tally{};
  }
  ~StoreKillTest() override { ::munmap(tally_, sizeof(Tally)); }

  static StoreOptions options() {
    StoreOptions o;
    o.bytes = 48u << 20;
    o.process_slots = 8;
    o.index_entries = 1024;
    o.keep_free_bytes = 0;
    return o;
  }

  Child start(std::uint64_t seed) {
    Tally* tally = tally_;
    return start_child(node_.store, [tally, seed](ChildSide& side) {
      std::mt19937_64 random(seed);
      std::vector<std::pair<std::uint64_t, Pin>> held;
      for (;;) step(side, random, held, *tally);
      return 0;
    });
  }

  void serve_until(const std::vector<Child>& children, Clock::time_point until) {
    do {
      std::vector<pollfd> fds;
      for (const Child& child : children) fds.push_back({child.socket.get(), POLLIN, 0});
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now()).count();
      const timespec timeout{0, std::max<long>(left, 0)};
      if (::ppoll(fds.data(), fds.size(), &timeout, nullptr) <= 0) continue;
      for (std::size_t i = 0; i < fds.size(); ++i) {
        if (fds[i].revents & POLLIN) serve(node_.store, children[i], id_of);
        ASSERT_FALSE(fds[i].revents & POLLHUP) << "a child ended by itself";
      }
    } while (Clock::now() < until);
  }

  void kill_and_check(const Child& child) {
    ASSERT_EQ(::kill(child.pid, SIGKILL), 0);
    ASSERT_TRUE(WIFSIGNALED(wait_status(child.pid)));
    const Reclaimed got = node_.store.reclaim(child.slot);
    half_sealed_ += got.half_sealed;
    pins_ += got.pins;
    ASSERT_EQ(got.corrupt, 0u);
    node_.check();
  }
  void read_all() {
    for (std::uint64_t n = 0; n < kObjects; ++n) {
      const auto pin = checker_.get(id_of(n));
      ASSERT_TRUE(!pin || is_whole(*pin, n)) << "object " << n;
    }
    ASSERT_EQ(tally_->wrong.load(), 0u) << "a child read a wrong byte";
  }

  Node node_;
  StoreClient checker_;
  Tally* tally_;
  std::size_t half_sealed_ = 0;
  std::size_t pins_ = 0;
};

TEST_F(StoreKillTest, WhateverIsKilledWheneverTheStoreStaysWholeAndGetsAllBack) {
  const char* asked = std::getenv("MOBULA_CHAOS_KILLS");
  const std::uint64_t kills_wanted = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 0;
  const auto end = Clock::now() + kDuration;
  std::mt19937_64 random(42);
  std::vector<Child> children;
  for (std::uint64_t i = 0; i < kChildren; ++i) children.push_back(start(i));
  std::uint64_t kills = 0;
  while (kills_wanted != 0 ? kills < kills_wanted : Clock::now() < end) {
    serve_until(children, Clock::now() + std::chrono::microseconds(random() % 4000));
    Child& victim = children[random() % children.size()];
    kill_and_check(victim);
    if (++kills % 16 == 0) read_all();
    if (HasFailure()) break;
    victim = start(1000 + kills);
    if (kills % 64 == 0) node_.store.evict_secondary(1 << 20);
  }
  for (const Child& child : children) kill_and_check(child);
  read_all();
  std::printf("killed %llu: %llu puts, %llu gets, %llu frees; %zu pins and %zu half-sealed entries taken back; %s\n",
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(tally_->puts),
              static_cast<unsigned long long>(tally_->gets), static_cast<unsigned long long>(tally_->frees), pins_,
              half_sealed_, node_.store.stats().to_string().c_str());
  EXPECT_GT(tally_->gets.load(), 1000u);

  for (std::uint64_t n = 0; n < kObjects; ++n) node_.store.free(id_of(n));
  node_.store.sweep();
  const StoreStats stats = node_.store.stats();
  EXPECT_EQ(stats.objects, 0u);
  EXPECT_EQ(stats.doomed_objects, 0u);
  EXPECT_EQ(stats.free_bytes, stats.capacity) << stats.to_string();
  EXPECT_EQ(stats.largest_free_run, stats.capacity);
  node_.check();
}

}  // namespace
}  // namespace mobula::objstore
