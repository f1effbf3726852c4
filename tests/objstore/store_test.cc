#include "objstore/store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "core/os/pages.h"
#include "tests/objstore/node.h"

namespace mobula::objstore {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

StoreOptions small_store(std::uint64_t bytes = 64 * kMiB) {
  StoreOptions o;
  o.bytes = bytes;
  o.process_slots = 8;
  o.keep_free_bytes = 0;
  o.huge_pages = HugePages::kNone;  // Units of 64 KiB.
  return o;
}

TEST(StoreTest, WhatOneProcessSealsAnotherReadsAtTheSameOffset) {
  Node node(small_store());
  StoreClient writer = node.attach();
  StoreClient reader = node.attach();
  ASSERT_EQ(*node.put(writer, id_of(1), "hello"), Sealed::kNew);
  const auto pin = reader.get(id_of(1));
  ASSERT_TRUE(pin);
  EXPECT_EQ(base::as_string_view(pin->bytes()), "hello");
  EXPECT_EQ(pin->offset() % kObjectAlignment, 0u);
  EXPECT_EQ(pin->bytes().data(), reader.mapping().data() + pin->offset());
  EXPECT_FALSE(reader.get(id_of(2)));
  EXPECT_TRUE(node.store.contains(id_of(1)));
  node.check();
}

TEST(StoreTest, AnAllocationIsSeenByNobodyUntilItIsSealed) {
  Node node(small_store());
  StoreClient client = node.attach();
  auto allocation = node.allocate(client, 1000);
  ASSERT_TRUE(allocation);
  EXPECT_FALSE(client.contains(id_of(1)));
  ASSERT_TRUE(client.seal(std::move(*allocation), id_of(1), Copy::kPrimary));
  EXPECT_FALSE(allocation->valid());
  EXPECT_TRUE(client.contains(id_of(1)));
}

TEST(StoreTest, AbortedAndForgottenAllocationsAreUsedAgain) {
  Node node(small_store());
  StoreClient client = node.attach();
  std::uint64_t at = 0;
  {
    auto allocation = node.allocate(client, 3 * kMiB);
    at = allocation->offset();
    client.abort(std::move(*allocation));
  }
  { EXPECT_EQ(node.allocate(client, 3 * kMiB)->offset(), at); }
  client.sweep();
  EXPECT_EQ(node.allocate(client, 3 * kMiB)->offset(), at);
}

TEST(StoreTest, SealingAnIdThatIsHereKeepsTheFirstCopy) {
  Node node(small_store());
  StoreClient a = node.attach();
  StoreClient b = node.attach();
  EXPECT_EQ(*node.put(a, id_of(1), "first"), Sealed::kNew);
  EXPECT_EQ(*node.put(b, id_of(1), "again"), Sealed::kAlreadyHere);
  EXPECT_EQ(read(b, id_of(1)), "first");
  EXPECT_EQ(node.store.stats().objects, 1u);
}

TEST(StoreTest, AnEmptyObjectIsAnObject) {
  Node node(small_store());
  StoreClient client = node.attach();
  ASSERT_TRUE(node.put(client, id_of(1), ""));
  EXPECT_EQ(read(client, id_of(1)), "");
  node.check();
  EXPECT_TRUE(node.store.free(id_of(1)));
  node.give_back_empty(client);
  EXPECT_EQ(node.store.stats().leased, 0u);
}

TEST(StoreTest, ACopyOfAProcessMadeByForkLetsGoOfNothing) {
  Node node(small_store());
  StoreClient writer = node.attach();
  StoreClient reader = node.attach();
  ASSERT_TRUE(node.put(writer, id_of(1), "still here"));
  auto pin = reader.get(id_of(1));
  const pid_t copy = ::fork();
  if (copy == 0) {
    pin.reset();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(node.store.free(id_of(1)));
  EXPECT_EQ(node.store.stats().doomed_objects, 1u) << "the copy has unpinned it";
  EXPECT_EQ(base::as_string_view(pin->bytes()), "still here");
  pin.reset();
  node.give_back_empty(writer);
  EXPECT_EQ(node.store.stats().doomed_objects, 0u);
}

TEST(StoreTest, AFreedObjectStaysForWhoReadsItAndIsFoundByNobody) {
  Node node(small_store());
  StoreClient writer = node.attach();
  StoreClient reader = node.attach();
  ASSERT_TRUE(node.put(writer, id_of(1), "still here"));
  auto pin = reader.get(id_of(1));
  Pin second = pin->share();
  ASSERT_TRUE(node.store.free(id_of(1)));
  EXPECT_FALSE(node.store.free(id_of(1)));
  EXPECT_FALSE(reader.get(id_of(1)));
  EXPECT_EQ(node.store.stats().doomed_objects, 1u);
  pin.reset();
  node.give_back_empty(writer);
  EXPECT_GT(node.store.stats().leased, 0u) << "the second pin holds it";
  EXPECT_EQ(base::as_string_view(second.bytes()), "still here");
  second = Pin();
  node.give_back_empty(writer);
  EXPECT_EQ(node.store.stats().leased, 0u);
  EXPECT_EQ(node.store.stats().doomed_objects, 0u);
  node.check();
}

TEST(StoreTest, AnOwnersOwnFreeGivesTheMemoryBackAtOnce) {
  Node node(small_store());
  StoreClient client = node.attach();
  ASSERT_TRUE(node.put(client, id_of(1), std::string(kMiB, 'a')));
  const std::uint64_t at = client.get(id_of(1))->offset();
  EXPECT_TRUE(client.free(id_of(1)));
  EXPECT_EQ(client.allocate(kMiB)->offset(), at);
}

TEST(StoreTest, WhatTheRayletFreesIsReusedByItsProcessWithoutAMessage) {
  Node node(small_store());
  StoreClient client = node.attach();
  const std::string value(kMiB, 'a');
  for (std::uint64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(node.put(client, id_of(i), value));
    ASSERT_TRUE(node.store.free(id_of(i)));
  }
  EXPECT_LE(node.store.stats().leased, 8 * kMiB);
  node.check();
}

TEST(StoreTest, AFullStoreSaysSoWithNumbers) {
  Node node(small_store(32 * kMiB));
  StoreClient client = node.attach();
  const std::string value(3 * kMiB, 'a');
  std::uint64_t n = 0;
  Result<Sealed> put = Sealed::kNew;
  while ((put = node.put(client, id_of(n), value))) ++n;
  EXPECT_GE(n, 9u);
  EXPECT_EQ(put.error().code, base::Code::kExhausted);
  EXPECT_NE(put.error().what.find("32.0 MiB"), std::string::npos) << put.error().what;
  EXPECT_NE(put.error().what.find("largest run"), std::string::npos) << put.error().what;
  const auto huge = node.store.lease_slab(client.slot(), 64 * kMiB);
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, base::Code::kInvalid) << "it never fits";
  for (std::uint64_t i = 0; i < n; ++i) EXPECT_TRUE(node.store.free(id_of(i)));
  EXPECT_TRUE(node.put(client, id_of(1000), value));
  node.check();
}

TEST(StoreTest, AMachineThatGivesNoMorePagesIsAnErrorAndNotASignal) {
  StoreOptions options = small_store(256 * kMiB);
  options.reserve_limit = 32 * kMiB;
  Node node(options);
  StoreClient client = node.attach();
  std::uint64_t n = 0;
  Result<Sealed> put = Sealed::kNew;
  while ((put = node.put(client, id_of(n), std::string(kMiB, 'a')))) ++n;
  EXPECT_EQ(n, 32u) << "all that was reserved can be used";
  EXPECT_EQ(put.error().code, base::Code::kExhausted);
  EXPECT_NE(put.error().what.find("may take 32 MiB"), std::string::npos) << put.error().what;
  EXPECT_TRUE(node.store.reserve_error());
  node.check();

  options.reserve_limit = ~0ull;
  options.keep_free_bytes = ~0ull / 2;
  Node poor(options);
  EXPECT_FALSE(poor.store.reserve_more());
  EXPECT_EQ(poor.store.reserve_error()->code, base::Code::kExhausted);
}

TEST(StoreTest, PagesAreReservedAheadInPieces) {
  Node node(small_store(256 * kMiB));
  StoreClient client = node.attach();
  const auto early = node.store.lease_slab(client.slot(), 20 * kMiB);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, base::Code::kUnavailable);
  std::size_t calls = 1;
  while (node.store.reserve_more()) ++calls;
  EXPECT_TRUE(node.store.lease_slab(client.slot(), 20 * kMiB));
  EXPECT_GE(calls, 8u);
  EXPECT_LE(node.store.stats().reserved, 64 * kMiB + 24 * kMiB);
}

TEST(StoreTest, AFullIndexIsAnErrorAndTheAllocationStaysTheCallers) {
  StoreOptions options = small_store();
  options.index_entries = 64;
  Node node(options);
  StoreClient client = node.attach();
  for (std::uint64_t i = 0; i < 64; ++i) ASSERT_TRUE(node.put(client, id_of(i), "x"));
  auto allocation = node.allocate(client, 10);
  const auto sealed = client.seal(std::move(*allocation), id_of(64), Copy::kPrimary);
  ASSERT_FALSE(sealed);
  EXPECT_EQ(sealed.error().code, base::Code::kExhausted);
  ASSERT_TRUE(allocation->valid());
  node.check();
  EXPECT_TRUE(client.free(id_of(7)));
  EXPECT_TRUE(client.seal(std::move(*allocation), id_of(64), Copy::kPrimary));
  for (std::uint64_t i = 0; i <= 64; ++i) EXPECT_EQ(client.contains(id_of(i)), i != 7);
}

TEST(StoreTest, EvictionTakesUnpinnedSecondaryCopiesAndThoseNotReadFirst) {
  Node node(small_store());
  StoreClient client = node.attach();
  const std::string value(kMiB, 'a');
  ASSERT_TRUE(node.put(client, id_of(1), value, Copy::kPrimary));
  for (std::uint64_t i = 2; i < 8; ++i) ASSERT_TRUE(node.put(client, id_of(i), value, Copy::kSecondary));
  const auto pin = client.get(id_of(2));
  EXPECT_EQ(node.store.stats().secondary_bytes, 6 * kMiB);
  EXPECT_EQ(node.store.evict_secondary(1), kMiB);  // The clock has now been round once.
  std::uint64_t read_one = 3;
  while (!client.contains(id_of(read_one))) ++read_one;
  client.get(id_of(read_one));
  EXPECT_EQ(node.store.evict_secondary(3 * kMiB), 3 * kMiB);
  EXPECT_TRUE(client.contains(id_of(read_one))) << "it was read since";
  EXPECT_EQ(node.store.evict_secondary(~0ull), kMiB);
  EXPECT_TRUE(client.contains(id_of(1)));
  EXPECT_TRUE(client.contains(id_of(2)));
  node.check();
}

TEST(StoreTest, ADeadProcessesObjectsStayAndTheRestComesBack) {
  Node node(small_store());
  StoreClient reader = node.attach();
  Reclaimed got;
  {
    StoreClient dead = node.attach();
    ASSERT_TRUE(node.put(dead, id_of(1), "adopted"));
    ASSERT_TRUE(node.put(dead, id_of(2), "known to nobody"));
    ASSERT_TRUE(node.put(reader, id_of(3), "read by it"));
    EXPECT_TRUE(node.store.adopt(id_of(1)));
    auto unfinished = node.allocate(dead, 3 * kMiB);
    auto pin = dead.get(id_of(3));
    ASSERT_TRUE(node.store.free(id_of(3)));
    got = node.store.reclaim(dead.slot());
    pin->bytes();
  }
  EXPECT_EQ(got.pins, 1u);
  EXPECT_EQ(got.slabs, 1u);
  ASSERT_EQ(got.unadopted.size(), 1u);
  EXPECT_EQ(got.unadopted[0], id_of(2));
  EXPECT_EQ(node.store.stats().doomed_objects, 0u) << "only the dead process still read it";
  EXPECT_EQ(node.store.stats().orphaned, 64u << 10) << "two small objects hold one unit";
  node.check();
  EXPECT_EQ(read(reader, id_of(1)), "adopted");
  EXPECT_TRUE(node.store.free(id_of(1)));
  EXPECT_TRUE(reader.free(id_of(2))) << "any process may free";
  node.store.sweep();
  EXPECT_EQ(node.store.stats().orphaned, 0u);
  node.check();
}

TEST(StoreTest, SlotsRunOutAndComeBack) {
  Node node(small_store());
  std::vector<SlotId> slots;
  for (int i = 0; i < 8; ++i) slots.push_back(node.store.attach(1)->slot);
  const auto one_more = node.store.attach(1);
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code, base::Code::kExhausted);
  node.store.reclaim(slots[3]);
  EXPECT_EQ(node.store.attach(1)->slot, slots[3]);
}

TEST(StoreTest, ForeignSlabsAndDescriptorsAreRefused) {
  Node node(small_store());
  StoreClient a = node.attach();
  StoreClient b = node.attach();
  const auto slab = node.store.lease_slab_reserving(a.slot(), 100);
  ASSERT_TRUE(slab);
  EXPECT_FALSE(node.store.return_slab(b.slot(), *slab));
  EXPECT_FALSE(node.store.return_slab(a.slot(), {slab->offset, slab->size / 2}));
  EXPECT_FALSE(node.store.return_slabs(a.slot(), {*slab, *slab}));
  EXPECT_TRUE(node.store.return_slab(a.slot(), *slab));
  EXPECT_FALSE(a.add_slab({1ull << 50, 1 << 20}));
  EXPECT_FALSE(node.store.lease_slab(7, 100)) << "nobody is attached there";
  EXPECT_FALSE(StoreClient::attach(duplicate(node.store.data_fd()), duplicate(node.store.data_fd()), a.slot()));
  EXPECT_FALSE(StoreClient::attach(duplicate(node.store.control_fd()), duplicate(node.store.data_fd()), 7));
  EXPECT_FALSE(StoreClient::attach(duplicate(node.store.control_fd()), duplicate(node.store.data_fd()), 0));
}

TEST(StoreTest, PinsOutliveTheirClientAndGoFromAnyThread) {
  Node node(small_store());
  std::vector<Pin> pins;
  {
    StoreClient client = node.attach();
    ASSERT_TRUE(node.put(client, id_of(1), "kept"));
    for (int i = 0; i < 100; ++i) pins.push_back(std::move(*client.get(id_of(1))));
  }
  EXPECT_EQ(base::as_string_view(pins[0].bytes()), "kept");
  EXPECT_TRUE(node.store.free(id_of(1)));
  EXPECT_EQ(node.store.stats().doomed_objects, 1u);
  std::thread([&pins] { pins.resize(50); }).join();
  EXPECT_EQ(node.store.stats().doomed_objects, 1u);
  pins.clear();
  EXPECT_EQ(node.store.stats().doomed_objects, 0u);
}

TEST(StoreTest, HugePagesAreTakenWhereTheMachineGivesThemAndReportedEitherWay) {
  StoreOptions options = small_store();
  options.huge_pages = HugePages::kTransparent;
  Node node(options);
  StoreClient client = node.attach();
  ASSERT_TRUE(node.put(client, id_of(1), std::string(20 * kMiB, 'a')));
  EXPECT_EQ(read(client, id_of(1)).size(), 20 * kMiB);
  node.check();
  const bool huge = node.store.stats().huge_pages == HugePages::kTransparent;
  EXPECT_EQ(huge, os::shared_huge_pages_on_request());
  EXPECT_EQ(node.store.memory_report().find("plain pages") == 0, !huge) << node.store.memory_report();
}

TEST(StoreTest, ALargeObjectIsWrittenWithItsPagesMappedAhead) {
  Node node(small_store());
  StoreClient client = node.attach();
  std::string value(40 * kMiB, 'a');
  for (std::size_t i = 0; i < value.size(); i += 4096) value[i] = static_cast<char>(i >> 12);
  ASSERT_TRUE(node.put(client, id_of(1), value));
  EXPECT_EQ(read(client, id_of(1)), value);
  ASSERT_TRUE(client.free(id_of(1)));
  const auto again = client.allocate(40 * kMiB);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->populate(~std::size_t{0}), 0u) << "its pages were kept";
}

}  // namespace
}  // namespace mobula::objstore
