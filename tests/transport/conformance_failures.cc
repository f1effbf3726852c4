#include <sys/socket.h>

#include <array>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "core/os/socket.h"
#include "tests/transport/conformance.h"
#include "transport/handshake.h"
#include "transport/sock/address.h"

namespace mobula::test {
namespace {

using base::Code;

// Three operations that cannot end while the peer does not move.
struct Pending {
  Pending(Party& mine, Party& theirs, Endpoint& to, std::size_t size)
      : local(pattern(1, size)), remote(size, 'r'), payload(pattern(2, size)) {
    mine_region = std::move(*mine.worker().register_memory(bytes(local)));
    their_region = std::move(*theirs.worker().register_memory(bytes(remote)));
    EXPECT_TRUE(to.send(1, {}, view(payload), &sent).ok());
    to.read({0, size / 2, their_region->remote_key()}, {*mine_region, 0, size / 2}, read);
    to.write({*mine_region, size / 2, size / 2}, {size / 2, size / 2, their_region->remote_key()}, written);
  }
  bool ended() const { return sent.ended() && read.ended() && written.ended(); }

  std::string local;
  std::string remote;
  std::string payload;
  std::unique_ptr<transport::Region> mine_region;
  std::unique_ptr<transport::Region> their_region;
  Done sent;
  Done read;
  Done written;
};

TEST_P(Conformance, ClosingAnEndpointCancelsWhatIsUnderWay) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  Pending pending(a, b, *to_b, 32u << 20);
  to_b->close();
  EXPECT_FALSE(pending.read.ended());
  ASSERT_TRUE(world().until_by({&a}, [&] { return pending.ended(); }));
  for (const Done* done : {&pending.sent, &pending.read, &pending.written}) {
    EXPECT_TRUE(done->ok() || done->error().code == Code::kCancelled) << done->error().what;
  }
  ASSERT_TRUE(world().until([&] { return b.lost_peers.contains(to_a); }));
  EXPECT_TRUE(a.lost_peers.empty()) << "who closes is not told";
}

TEST_P(Conformance, APeerThatGoesEndsWhatIsUnderWayAndIsLost) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  auto pending = std::make_unique<Pending>(a, b, *to_b, 32u << 20);
  pending->their_region.reset();
  b.destroy_worker();
  bool ended_first = false;
  ASSERT_TRUE(world().until_by({&a}, [&] {
    ended_first = ended_first || (pending->ended() && a.lost_peers.empty());
    return a.lost_peers.contains(to_b);
  }));
  EXPECT_TRUE(pending->ended()) << "lost() is the last word";
  for (const Done* done : {&pending->sent, &pending->read, &pending->written}) {
    if (!done->ok()) {
      EXPECT_TRUE(done->error().code == Code::kUnavailable || done->error().code == Code::kNotFound)
          << done->error().what;
    }
  }
}

TEST_P(Conformance, APeerThatVanishesIsLost) {
  if (backend().traits.processes) GTEST_SKIP() << "ProcessConformance kills real processes";
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  Pending pending(a, b, *to_b, 1u << 20);
  world().fabric().crash(b.worker());
  ASSERT_TRUE(world().until_by({&a}, [&] { return a.lost_peers.contains(to_b); }));
  EXPECT_TRUE(pending.ended());
}

TEST_P(Conformance, NobodyAtAnAddressIsALostPeer) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  const transport::Address address = b.worker().address();
  ASSERT_LE(address.size(), transport::kAddressBytesMax);
  b.destroy_worker();
  Endpoint& nobody = a.connect(address);
  Done done;
  const std::string payload = pattern(1, 1 << 20);
  ASSERT_TRUE(nobody.send(1, {}, view(payload), &done).ok());
  ASSERT_TRUE(world().until_by({&a}, [&] { return a.lost_peers.contains(&nobody); }));
  ASSERT_TRUE(done.ended());
  EXPECT_EQ(done.error().code, Code::kUnavailable);
}

TEST_P(Conformance, AddressesThatAreNoneAreRefused) {
  Party& a = world().add("left");
  for (const std::string& address : {std::string(), std::string("garbage"), std::string(600, 'x')}) {
    const auto endpoint = a.worker().connect(address);
    if (!endpoint.ok()) continue;
    EXPECT_TRUE(world().until([&] { return a.lost_peers.contains(*endpoint); })) << address;
  }
}

TEST_P(Conformance, AWrongSecretIsRefused) {
  Party& a = world().add("left");
  transport::WorkerOptions options = world().options("stranger");
  options.credentials.key.fill(std::byte{0x11});
  Party& stranger = world().add(options);
  Endpoint& to_a = stranger.connect(a);
  ASSERT_TRUE(to_a.send(1, {}, view("let me in"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return stranger.lost_peers.contains(&to_a); }));
  EXPECT_EQ(stranger.lost_peers.at(&to_a).code, Code::kDenied) << stranger.lost_peers.at(&to_a).what;
  EXPECT_TRUE(a.peers.empty() && a.messages.empty() && a.lost_peers.empty());
}

// A raw connection to one of a worker's listeners.
os::Fd dial(const std::string& where) {
  const auto address = transport::sock::SocketAddress::parse(where);
  EXPECT_TRUE(address.ok());
  auto socket = transport::sock::connect_to(*address);
  EXPECT_TRUE(socket.ok()) << socket.error().what;
  return std::move(*socket);
}

bool hung_up(const os::Fd& socket) {
  std::array<std::byte, 512> in;
  for (;;) {
    const auto got = os::receive_some(socket, in);
    if (!got.ok()) return got.error().code != Code::kUnavailable;
    if (*got == 0) return true;
  }
}

TEST_P(Conformance, GarbageOnAListenerEndsThatConnectionOnly) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  const std::vector<std::string> listeners = world().fabric().listeners(b.worker());
  std::vector<std::string> garbage = {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", std::string(600, '\0'),
                                      std::string(600, '\xff'), pattern(9, 600)};
  std::vector<os::Fd> sockets;
  for (const std::string& listener : listeners) {
    for (const std::string& bytes : garbage) {
      sockets.push_back(dial(listener));
      static_cast<void>(world().until([&] {
        const auto sent = os::send_some(sockets.back(), view(bytes));
        return sent.ok() || sent.error().code != Code::kUnavailable;
      }));
    }
  }
  for (const os::Fd& socket : sockets) EXPECT_TRUE(world().until([&] { return hung_up(socket); }));
  EXPECT_TRUE(b.peers.empty() && b.messages.empty() && b.lost_peers.empty());
  world().join(a, b);
}

TEST_P(Conformance, AnotherWireVersionIsRefusedWithBothVersions) {
  Party& b = world().add("right");
  for (const std::string& listener : world().fabric().listeners(b.worker())) {
    const os::Fd socket = dial(listener);
    transport::Handshake::Options options;
    options.versions = {40, 41};
    const transport::WorkerOptions future = world().options("future");
    transport::Handshake handshake(options, future.credentials);
    std::string error;
    ASSERT_TRUE(world().until([&] {
      std::array<std::byte, 512> in;
      const auto got = os::receive_some(socket, Bytes(in).first(handshake.wants()));
      if (!got.ok()) return false;
      base::Buffer out;
      const auto fed = handshake.feed(ConstBytes(in).first(*got), out);
      if (!out.empty()) static_cast<void>(os::send_some(socket, out.view()));
      if (fed.ok()) return false;
      error = fed.error().what;
      return true;
    }));
    EXPECT_NE(error.find("40 to 41"), std::string::npos) << error;
    EXPECT_NE(error.find("version 1,"), std::string::npos) << error;
    EXPECT_TRUE(world().until([&] { return hung_up(socket); }));
  }
  EXPECT_TRUE(b.peers.empty());
}

}  // namespace
}  // namespace mobula::test
