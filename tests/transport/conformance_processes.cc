#include <array>

#include "core/os/event_loop.h"
#include "tests/transport/conformance.h"
#include "tests/transport/peer.h"

namespace mobula::test {
namespace {

constexpr auto kEcho = static_cast<std::uint16_t>(PeerCall::kEcho);
constexpr auto kDigest = static_cast<std::uint16_t>(PeerCall::kDigest);
constexpr auto kShare = static_cast<std::uint16_t>(PeerCall::kShare);
constexpr auto kDigestShared = static_cast<std::uint16_t>(PeerCall::kDigestShared);
constexpr auto kFlood = static_cast<std::uint16_t>(PeerCall::kFlood);

// Sends and waits for the one answer.
Party::Message ask(World& world, Party& a, Endpoint& to, std::uint16_t type, ConstBytes header, ConstBytes payload) {
  a.messages.clear();
  Done done;
  EXPECT_TRUE(to.send(type, header, payload, &done).ok());
  EXPECT_TRUE(world.until([&] { return done.ended() && !a.messages.empty(); }));
  return a.messages.empty() ? Party::Message{} : a.messages.front();
}

std::uint64_t number(const std::string& bytes) {
  std::uint64_t out = 0;
  std::memcpy(&out, bytes.data(), std::min(sizeof out, bytes.size()));
  return out;
}

TEST_P(ProcessConformance, AnotherProcessAnswers) {
  Party& a = world().add("test");
  const PeerProcess peer(backend(), world().directory());
  Endpoint& to = a.connect(peer.address());
  for (std::size_t size = 0; size <= (1u << 20); size = size * 4 + 1) {
    const std::string header = pattern(size, size % 512);
    const Party::Message answer = ask(world(), a, to, kEcho, view(header), view(pattern(size + 1, size)));
    EXPECT_TRUE(answer.header == header && answer.payload == pattern(size + 1, size)) << size;
  }
  const std::string large = pattern(3, backend().traits.large_bytes);
  const Party::Message answer = ask(world(), a, to, kDigest, {}, view(large));
  EXPECT_EQ(number(answer.header), base::hash64(large));
}

TEST_P(ProcessConformance, MemoryOfAnotherProcessIsReadAndWritten) {
  Party& a = world().add("test");
  const PeerProcess peer(backend(), world().directory());
  Endpoint& to = a.connect(peer.address());
  const std::size_t size = backend().traits.large_bytes / 4;
  for (const std::uint64_t in_file : {0u, 1u}) {
    const ShareRequest request{size, in_file};
    const std::string key = ask(world(), a, to, kShare, base::object_bytes(request), {}).header;
    std::string mine(size, '\0');
    const auto local = std::move(*a.worker().register_memory(bytes(mine)));
    Done read;
    to.read({0, size, view(key)}, {*local, 0, size}, read);
    ASSERT_TRUE(world().until([&] { return read.ended(); }));
    ASSERT_TRUE(read.ok()) << read.error().what;
    EXPECT_TRUE(mine == pattern(size, size));
    mine.replace(0, size, pattern(77, size));  // In place.
    Done write;
    to.write({*local, 0, size}, {0, size, view(key)}, write);
    ASSERT_TRUE(world().until([&] { return write.ended(); }));
    ASSERT_TRUE(write.ok()) << write.error().what;
    EXPECT_EQ(number(ask(world(), a, to, kDigestShared, {}, {}).header), base::hash64(mine));
    Done beyond;
    to.read({size, 1, view(key)}, {*local, 0, 1}, beyond);
    ASSERT_TRUE(world().until([&] { return beyond.ended(); }));
    EXPECT_FALSE(beyond.ok());
  }
}

class Kills : public ProcessConformance {
 protected:
  // Kills the peer and expects the news in time; everything under way has ended before it.
  void kill_and_expect_news(Party& a, Endpoint& to, PeerProcess& peer, const std::function<void()>& meanwhile = {}) {
    const base::Time killed = os::now();
    peer.kill();
    ASSERT_TRUE(world().until(
        [&] {
          if (meanwhile && a.lost_peers.empty()) meanwhile();
          return a.lost_peers.contains(&to);
        },
        backend().traits.loses_killed_peer_within))
        << "not told within " << backend().traits.loses_killed_peer_within.count() << " ms";
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(os::now() - killed);
    RecordProperty("told_after_ms", static_cast<int>(took.count()));
  }
};

TEST_P(Kills, AKilledPeerIsLostWhileIdle) {
  Party& a = world().add("test");
  PeerProcess peer(backend(), world().directory());
  Endpoint& to = a.connect(peer.address());
  ask(world(), a, to, kEcho, {}, view("alive"));
  kill_and_expect_news(a, to, peer);
}

TEST_P(Kills, AKilledPeerIsLostWhileMessagesFlow) {
  Party& a = world().add("test");
  PeerProcess peer(backend(), world().directory());
  Endpoint& to = a.connect(peer.address());
  std::size_t got = 0;
  a.on_message = [&](Endpoint&, std::uint16_t, ConstBytes, ConstBytes) { ++got; };
  const std::string payload = pattern(1, 512);
  ASSERT_TRUE(to.send(kFlood, {}, view(payload), nullptr).ok());
  const auto send = [&] {
    for (int i = 0; i < 16; ++i) {
      if (!to.send(kDigest, {}, view(payload), nullptr).ok()) return;
    }
  };
  ASSERT_TRUE(world().until([&] {
    send();
    return got > 2000;
  }));
  kill_and_expect_news(a, to, peer, send);
}

TEST_P(Kills, AKilledPeerEndsTransfersUnderWay) {
  Party& a = world().add("test");
  PeerProcess peer(backend(), world().directory());
  Endpoint& to = a.connect(peer.address());
  const std::size_t size = backend().traits.large_bytes;
  const ShareRequest request{size, 1};
  const std::string key = ask(world(), a, to, kShare, base::object_bytes(request), {}).header;
  std::string mine = pattern(5, size);
  const auto local = std::move(*a.worker().register_memory(bytes(mine)));
  peer.stop();
  std::vector<Done> done(3);
  to.read({0, size / 2, view(key)}, {*local, 0, size / 2}, done[0]);
  to.write({*local, size / 2, size / 2}, {size / 2, size / 2, view(key)}, done[1]);
  ASSERT_TRUE(to.send(kDigest, {}, view(pattern(6, size)), nullptr).ok());
  const std::string payload = pattern(7, size);
  const auto sent = to.send(kDigest, {}, view(payload), &done[2]);
  for (int i = 0; i < 20; ++i) a.progress();
  kill_and_expect_news(a, to, peer);
  EXPECT_TRUE(done[0].ended() && done[1].ended());
  EXPECT_TRUE(done[2].ended() || !sent.ok());
  for (const Done& d : done) {
    EXPECT_TRUE(!d.ended() || d.ok() || d.error().code == base::Code::kUnavailable) << d.error().what;
  }
}

TEST_P(Kills, TheOthersGoOnWhenOnePeerIsKilled) {
  Party& a = world().add("test");
  PeerProcess first(backend(), world().directory());
  const PeerProcess second(backend(), world().directory());
  Endpoint& to_first = a.connect(first.address());
  Endpoint& to_second = a.connect(second.address());
  ask(world(), a, to_first, kEcho, {}, view("one"));
  ask(world(), a, to_second, kEcho, {}, view("two"));
  kill_and_expect_news(a, to_first, first);
  EXPECT_EQ(ask(world(), a, to_second, kEcho, {}, view("still there")).payload, "still there");
  EXPECT_FALSE(a.lost_peers.contains(&to_second));
}

INSTANTIATE_TEST_SUITE_P(Backends, ProcessConformance, ::testing::ValuesIn(backend_names()), name_of);
INSTANTIATE_TEST_SUITE_P(Backends, Kills, ::testing::ValuesIn(backend_names()), name_of);

}  // namespace
}  // namespace mobula::test
