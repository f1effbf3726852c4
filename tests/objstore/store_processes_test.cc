#include "tests/objstore/processes.h"

namespace mobula::objstore {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

StoreOptions options() {
  StoreOptions o;
  o.bytes = 96 * kMiB;
  o.process_slots = 4;
  o.keep_free_bytes = 0;
  o.huge_pages = HugePages::kNone;  // Units of 64 KiB.
  return o;
}

TEST(StoreProcessesTest, AnotherProcessReadsTheSamePagesAndMayNotWriteThem) {
  Node node(options());
  StoreClient reader = node.attach();
  constexpr std::size_t size = 30 * kMiB;
  const Child child = start_child(node.store, [](ChildSide& side) {
    auto allocation = side.allocate(size);
    if (!allocation) return 1;
    std::memset(allocation->bytes().data(), 'x', size);
    return side.client.seal(std::move(*allocation), id_of(1), Copy::kPrimary) ? 0 : 1;
  });
  while (serve(node.store, child, id_of)) {
    pollfd fd{child.socket.get(), POLLIN, 0};
    ASSERT_GE(::poll(&fd, 1, 10'000), 1);
  }
  ASSERT_EQ(wait_status(child.pid), 0);
  node.store.reclaim(child.slot);
  const auto pin = reader.get(id_of(1));
  ASSERT_TRUE(pin);
  EXPECT_EQ(pin->bytes().size(), size);
  EXPECT_EQ(pin->bytes().data(), reader.mapping().data() + pin->offset()) << "no copy between";
  EXPECT_EQ(static_cast<char>(pin->bytes()[size - 1]), 'x');
  node.check();

  auto* foreign = const_cast<std::byte*>(pin->bytes().data());
  const pid_t vandal = ::fork();
  if (vandal == 0) {
    ::signal(SIGSEGV, SIG_DFL);
    *static_cast<volatile std::byte*>(foreign) = std::byte{1};
    ::_exit(0);
  }
  const int status = wait_status(vandal);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "memory of another process was written";
  EXPECT_EQ(static_cast<char>(pin->bytes()[0]), 'x');
}

TEST(StoreProcessesTest, MemoryOfADeadProcessThatSomebodyReadsIsNotReused) {
  Node node(options());
  StoreClient reader = node.attach();
  const Child child = start_child(node.store, [](ChildSide& side) {
    for (std::uint64_t n = 0; n < 20; ++n) {
      auto allocation = side.allocate(kMiB);
      if (!allocation) return 1;
      std::memset(allocation->bytes().data(), static_cast<int>('a' + n), kMiB);
      if (!side.client.seal(std::move(*allocation), id_of(n), Copy::kPrimary)) return 1;
    }
    return 0;
  });
  while (serve(node.store, child, id_of)) {
    pollfd fd{child.socket.get(), POLLIN, 0};
    ASSERT_GE(::poll(&fd, 1, 10'000), 1);
  }
  ASSERT_EQ(wait_status(child.pid), 0);
  auto pin = reader.get(id_of(7));
  ASSERT_TRUE(pin);
  EXPECT_EQ(node.store.reclaim(child.slot).unadopted.size(), 20u);
  for (std::uint64_t n = 0; n < 20; ++n) EXPECT_TRUE(node.store.free(id_of(n)));
  EXPECT_EQ(node.store.stats().orphaned, kMiB);
  for (std::uint64_t n = 100; node.put(reader, id_of(n), std::string(4 * kMiB, '!')); ++n) {
  }
  EXPECT_EQ(static_cast<char>(pin->bytes()[0]), 'h');
  EXPECT_EQ(static_cast<char>(pin->bytes()[kMiB - 1]), 'h');
  pin.reset();
  node.store.sweep();
  EXPECT_EQ(node.store.stats().orphaned, 0u);
  node.check();
}

}  // namespace
}  // namespace mobula::objstore
