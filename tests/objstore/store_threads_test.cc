#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/objstore/node.h"

// Clients on threads of one process, so that the thread sanitizer sees both sides of each hand-over.
namespace mobula::objstore {
namespace {

StoreOptions options() {
  StoreOptions o;
  o.bytes = 64u << 20;
  o.process_slots = 8;
  o.index_entries = 256;
  o.keep_free_bytes = 0;
  return o;
}

// Each object is 64 words that all hold its number.
void write(const Allocation& allocation, std::uint64_t n) {
  auto* words = reinterpret_cast<std::uint64_t*>(allocation.bytes().data());
  for (int i = 0; i < 64; ++i) words[i] = n;
}
bool is_whole(const Pin& pin, std::uint64_t n) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(pin.bytes().data());
  bool whole = pin.bytes().size() == 512;
  for (int i = 0; i < 64; ++i) whole = whole && words[i] == n;
  return whole;
}

TEST(StoreThreadsTest, ClientsThatPutGetAndFreeTheSameFewIdsNeverSeeAWrongByte) {
  Node node(options());
  constexpr int kClients = 4;
  constexpr std::uint64_t kIds = 24;
  std::vector<StoreClient> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(node.attach());
    const auto slab = node.store.lease_slab_reserving(clients.back().slot(), 1);
    ASSERT_TRUE(clients.back().add_slab(*slab));
  }
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> hits{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kClients; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      StoreClient& client = clients[static_cast<std::size_t>(t)];
      std::vector<std::pair<std::uint64_t, Pin>> held;
      for (int step = 0; step < 20'000; ++step) {
        const std::uint64_t n = random() % kIds;
        const auto dice = random() % 8;
        if (dice < 3) {
          auto allocation = client.allocate(512);
          if (!allocation) continue;
          write(*allocation, n);
          EXPECT_TRUE(client.seal(std::move(*allocation), id_of(n), Copy::kSecondary));
        } else if (dice < 6) {
          auto pin = client.get(id_of(n));
          if (!pin) continue;
          ++hits;
          if (!is_whole(*pin, n)) ++wrong;
          if (held.size() < 4) held.emplace_back(n, std::move(*pin));
        } else if (dice == 6) {
          client.free(id_of(n));
        } else if (!held.empty()) {
          if (!is_whole(held.back().second, held.back().first)) ++wrong;
          held.pop_back();
        }
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    node.store.evict_secondary(1024);
    node.check();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_GT(hits.load(), 1000u);
  node.check();
  for (std::uint64_t n = 0; n < kIds; ++n) node.store.free(id_of(n));
  EXPECT_EQ(node.store.stats().objects + node.store.stats().doomed_objects, 0u);
  for (StoreClient& client : clients) node.give_back_empty(client);
  EXPECT_EQ(node.store.stats().leased, 0u);
}

TEST(StoreThreadsTest, PinsOfOneProcessGoFromManyThreads) {
  Node node(options());
  StoreClient owner = node.attach();
  StoreClient reader = node.attach();
  for (int round = 0; round < 200; ++round) {
    auto allocation = node.allocate(owner, 512);
    write(*allocation, 1);
    ASSERT_TRUE(owner.seal(std::move(*allocation), id_of(1), Copy::kPrimary));
    auto pin = reader.get(id_of(1));
    ASSERT_TRUE(pin);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) threads.emplace_back([mine = pin->share()] { EXPECT_TRUE(is_whole(mine, 1)); });
    pin.reset();
    EXPECT_TRUE(node.store.free(id_of(1)));
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(node.store.stats().doomed_objects, 0u);
  }
}

}  // namespace
}  // namespace mobula::objstore
