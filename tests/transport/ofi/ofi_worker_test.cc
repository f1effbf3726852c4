#include <cstdlib>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/transport/ofi/raw_peer.h"
#include "tests/transport/party.h"
#include "transport/ofi/ofi.h"

namespace mobula::test {
namespace {

using base::Code;
using transport::OfiOptions;
using transport::OfiWorker;
using transport::ofi::Kind;
using transport::ofi::PacketHeader;

OfiOptions tcp() {
  OfiOptions options;
  options.provider = "tcp;ofi_rxm";
  return options;
}

class TcpFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    auto worker = transport::make_ofi_worker(options, inbox, tcp());
    if (!worker) return worker.error();
    return std::unique_ptr<transport::Worker>(*std::move(worker));
  }
  std::vector<std::string> listeners(const transport::Worker&) const override { return {}; }
  static std::unique_ptr<Fabric> make() { return std::make_unique<TcpFabric>(); }
};

transport::OfiCounters counters_of(Party& party) { return dynamic_cast<OfiWorker&>(party.worker()).counters(); }

class OfiWorkerTest : public ::testing::Test {
 protected:
  bool until(RawPeer& raw, const std::function<bool()>& happened) {
    return world_.until([&] {
      raw.progress();
      return happened();
    });
  }
  // A peer of `a` that speaks for itself.
  std::unique_ptr<RawPeer> raw_peer_of(Party& a) {
    auto raw = std::make_unique<RawPeer>(world_, tcp(), a.worker().address());
    EXPECT_TRUE(until(*raw, [&] { return raw->theirs && !a.peers.empty(); }));
    return raw;
  }
  void expect_refused(const PacketHeader& head, ConstBytes body) {
    Party& a = world_.add("test");
    const auto raw = raw_peer_of(a);
    PacketHeader whole = head;
    whole.cookie = raw->theirs->cookie;
    whole.slot = raw->theirs->slot;
    raw->send(whole, body);
    ASSERT_TRUE(until(*raw, [&] { return !a.lost_peers.empty(); }));
    EXPECT_EQ(a.lost_peers.begin()->second.code, Code::kInvalid) << a.lost_peers.begin()->second.what;
    EXPECT_TRUE(a.messages.empty());
  }

  World world_{{"ofi_tcp", {}, &TcpFabric::make}};
};

TEST_F(OfiWorkerTest, PacketsWithoutTheCookieThatWasIssuedAreDroppedAndCounted) {
  Party& a = world_.add("test");
  const auto raw = raw_peer_of(a);
  PacketHeader head = raw->genuine(0);
  head.cookie ^= 1;
  raw->send(head, view("forged"));
  head = raw->genuine(0);
  ++head.slot;
  raw->send(head, view("for nobody"));
  head = raw->genuine(0);
  head.version = 99;
  raw->send(head, view("of another version"));
  head = raw->genuine(0);
  head.header_bytes = 100;
  raw->send(head, view("its header is longer than it"));
  head.header_bytes = 600;
  raw->send(head, view(pattern(1, 700)));
  raw->send_bytes("short");
  raw->send_bytes(std::string(transport::ofi::kPacketBytesMax + 1, 'x'));
  ASSERT_TRUE(until(*raw, [&] { return counters_of(a).dropped == 7; }));
  EXPECT_TRUE(a.messages.empty());
  head = raw->genuine(0);
  head.type = 5;
  raw->send(head, view("genuine"));
  ASSERT_TRUE(until(*raw, [&] { return !a.messages.empty(); }));
  EXPECT_EQ(a.messages.front().payload, "genuine");
  EXPECT_EQ(counters_of(a).dropped, 7u);
}

TEST_F(OfiWorkerTest, PacketsThatOvertakeEachOtherAreDeliveredAsSent) {
  Party& a = world_.add("test");
  const auto raw = raw_peer_of(a);
  for (const std::uint32_t sequence : {3u, 1u, 2u, 0u, 5u, 4u}) {
    raw->send(raw->genuine(sequence), view(std::to_string(sequence)));
  }
  ASSERT_TRUE(until(*raw, [&] { return a.messages.size() == 6; }));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(a.messages[i].payload, std::to_string(i));
  EXPECT_GE(counters_of(a).reordered, 4u);
}

TEST_F(OfiWorkerTest, AMessageSentTwiceEndsTheConnection) {
  Party& a = world_.add("test");
  const auto raw = raw_peer_of(a);
  raw->send(raw->genuine(0), view("once"));
  raw->send(raw->genuine(0), view("twice"));
  ASSERT_TRUE(until(*raw, [&] { return !a.lost_peers.empty(); }));
  EXPECT_EQ(a.lost_peers.begin()->second.code, Code::kInvalid);
  EXPECT_EQ(a.messages.size(), 1u);
}

TEST_F(OfiWorkerTest, AMessageBeyondTheWindowEndsTheConnection) {
  PacketHeader head;
  head.sequence = transport::ofi::kWindow;
  expect_refused(head, view("too far ahead"));
}

TEST_F(OfiWorkerTest, WhoClaimsToHaveReadWhatWasNotSentIsCutOff) {
  PacketHeader head;
  head.kind = Kind::kNews;
  head.consumed = 1;
  expect_refused(head, {});
}

TEST_F(OfiWorkerTest, AKindThatIsNoneEndsTheConnection) {
  PacketHeader head;
  head.kind = static_cast<Kind>(77);
  expect_refused(head, view("what?"));
}

TEST_F(OfiWorkerTest, APayloadThatIsTooLongToBeReadEndsTheConnection) {
  PacketHeader head;
  head.kind = Kind::kRendezvous;
  const transport::ofi::Source source{0, 1, transport::kMessageBytesMax + 1};
  expect_refused(head, base::object_bytes(source));
}

TEST_F(OfiWorkerTest, APayloadThatIsNotThereEndsTheConnection) {
  Party& a = world_.add("test");
  const auto raw = raw_peer_of(a);
  PacketHeader head = raw->genuine(0);
  head.kind = Kind::kRendezvous;
  const transport::ofi::Source source{0, 12345, 1 << 20};
  raw->send(head, base::object_bytes(source));
  ASSERT_TRUE(until(*raw, [&] { return !a.lost_peers.empty(); }));
  EXPECT_EQ(a.lost_peers.begin()->second.code, Code::kUnavailable);
  EXPECT_TRUE(a.messages.empty());
}

TEST_F(OfiWorkerTest, APeerOnAnotherProviderIsNeverAccepted) {
  Party& a = world_.add("test");
  RawPeer raw(world_, tcp(), a.worker().address(), "efa");
  // Our greeting comes, and then nothing of it is a connection.
  ASSERT_TRUE(until(raw, [&] { return raw.theirs.has_value(); }));
  Party& b = world_.add("right");
  world_.join(a, b);
  EXPECT_EQ(a.peers.size() + b.peers.size(), 1u);
}

// One worker that reads from two others.
class TwoReads : public OfiWorkerTest {
 protected:
  static constexpr std::size_t kSize = 32u << 20;

  TwoReads() {
    std::tie(to_b_, b_to_a_) = world_.join(a_, b_);
    std::tie(to_c_, c_to_a_) = world_.join(a_, c_);
  }
  void read_from_b(std::size_t size, Done& done) {
    to_b_->read({0, size, in_b_->remote_key()}, {*local_, 0, size}, done);
  }
  void read_from_c(std::size_t size, Done& done) {
    to_c_->read({0, size, in_c_->remote_key()}, {*local_, kSize, size}, done);
  }
  bool all_of_c_is_here() const { return mine_.compare(kSize, kSize, theirs_) == 0; }

  Party& a_ = world_.add("left");
  Party& b_ = world_.add("stuck");
  Party& c_ = world_.add("right");
  Endpoint* to_b_ = nullptr;
  Endpoint* b_to_a_ = nullptr;
  Endpoint* to_c_ = nullptr;
  Endpoint* c_to_a_ = nullptr;
  std::string stuck_ = std::string(kSize, 's');
  std::string theirs_ = pattern(1, kSize);
  std::string mine_ = std::string(2 * kSize, 'm');
  std::unique_ptr<transport::Region> in_b_ = *b_.worker().register_memory(bytes(stuck_));
  std::unique_ptr<transport::Region> in_c_ = *c_.worker().register_memory(bytes(theirs_));
  std::unique_ptr<transport::Region> local_ = *a_.worker().register_memory(bytes(mine_));
};

TEST_F(TwoReads, APeerThatDoesNotMoveHoldsUpNoOther) {
  Done never;
  Done whole;
  read_from_b(kSize, never);
  read_from_c(kSize, whole);
  ASSERT_TRUE(world_.until_by({&a_, &c_}, [&] { return whole.ended(); }));
  EXPECT_TRUE(whole.ok() && all_of_c_is_here());
  EXPECT_FALSE(never.ended());
  to_b_->close();
  ASSERT_TRUE(world_.until_by({&a_}, [&] { return never.ended(); }));
}

TEST_F(TwoReads, AReadThatIsStuckIsEndedByForceAndTheOthersAreNoneTheWorse) {
  Done first[2];  // Makes the connections.
  read_from_b(8, first[0]);
  read_from_c(8, first[1]);
  ASSERT_TRUE(world_.until([&] { return first[0].ok() && first[1].ok(); }));
  Done never;
  Done whole;
  read_from_b(kSize, never);
  read_from_c(kSize, whole);
  for (int i = 0; i < 10; ++i) a_.progress();
  to_b_->close();
  // c moves only once the first has been ended.
  ASSERT_TRUE(world_.until_by({&a_}, [&] { return never.ended(); }));
  EXPECT_EQ(never.error().code, Code::kCancelled);
  EXPECT_EQ(counters_of(a_).renewals, 1u);
  ASSERT_TRUE(world_.until_by({&a_, &c_}, [&] { return whole.ended(); }));
  ASSERT_TRUE(whole.ok()) << whole.error().what;
  EXPECT_TRUE(all_of_c_is_here());
  EXPECT_FALSE(a_.lost_peers.contains(to_c_));
}

TEST_F(OfiWorkerTest, AWorkerCanConnectToItself) {
  Party& a = world_.add("test");
  Endpoint& to_self = a.connect(a);
  const std::string large = pattern(1, 1 << 20);
  ASSERT_TRUE(to_self.send(1, {}, view("small"), nullptr).ok());
  ASSERT_TRUE(to_self.send(2, {}, view(large), nullptr).ok());
  ASSERT_TRUE(to_self.send(3, {}, view("last"), nullptr).ok());
  ASSERT_TRUE(world_.until([&] { return a.messages.size() == 3; }));
  EXPECT_TRUE(a.messages[1].payload == large);
  EXPECT_EQ(a.messages[2].type, 3);
}

TEST_F(OfiWorkerTest, ARegionMayOutliveItsWorker) {
  Party& a = world_.add("test");
  std::string memory(4096, 'x');
  const auto region = *a.worker().register_memory(bytes(memory));
  a.destroy_worker();
  EXPECT_EQ(region->bytes().size(), 4096u);
}

TEST_F(OfiWorkerTest, SleepersAreWokenByTheProviderWhereItCan) {
  Party& a = world_.add("test");
  EXPECT_TRUE(dynamic_cast<OfiWorker&>(a.worker()).wakes_sleepers());
  EXPECT_EQ(dynamic_cast<OfiWorker&>(a.worker()).provider(), "tcp;ofi_rxm");
}

TEST_F(OfiWorkerTest, WhatTheMachineLacksIsUnavailable) {
  struct Nobody final : transport::Inbox {
    void accepted(Endpoint&) override {}
    void message(Endpoint&, std::uint16_t, ConstBytes, ConstBytes) override {}
    void writable(Endpoint&) override {}
    void lost(Endpoint&, const base::Error&) override {}
  } nobody;
  OfiOptions options;
  options.provider = "no-such-provider";
  const auto worker = transport::make_ofi_worker(world_.options("test"), nobody, options);
  ASSERT_FALSE(worker.ok());
  EXPECT_EQ(worker.error().code, Code::kUnavailable);
  EXPECT_NE(worker.error().what.find("no-such-provider"), std::string::npos);
}

TEST(OfiConfiguration, TheEnvironmentNamesTheProvider) {
  ::setenv("MOBULA_OFI_PROVIDER", "efa", 1);
  ::setenv("MOBULA_OFI_DOMAIN", "rdmap0s6", 1);
  EXPECT_EQ(transport::ofi_options_from_environment().provider, "efa");
  EXPECT_EQ(transport::ofi_options_from_environment().domain, "rdmap0s6");
  ::unsetenv("MOBULA_OFI_PROVIDER");
  ::unsetenv("MOBULA_OFI_DOMAIN");
  EXPECT_EQ(transport::ofi_options_from_environment().provider, "");
}

}  // namespace
}  // namespace mobula::test
