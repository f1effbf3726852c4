// What endpoints over byte streams promise beyond the conformance suite; run over TCP.

#include <gtest/gtest.h>

#include "tests/transport/party.h"
#include "transport/sock/sock.h"
#include "transport/stream/session_set.h"
#include "transport/stream/wire.h"

namespace mobula::test {
namespace {

class TcpFabric final : public Fabric {
 public:
  base::Result<std::unique_ptr<transport::Worker>> make_worker(const transport::WorkerOptions& options,
                                                               transport::Inbox& inbox) override {
    return transport::sock::make_sock_worker(options, inbox);
  }
  std::vector<std::string> listeners(const transport::Worker& worker) const override { return {worker.address()}; }
};

const Backend kTcp{"tcp", {}, [] { return std::unique_ptr<Fabric>(std::make_unique<TcpFabric>()); }};

TEST(Session, MemoryMayBeUnregisteredWhilePeersUseIt) {
  World world(kTcp);
  Party& a = world.add("left");
  Party& b = world.add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world.join(a, b);
  constexpr std::size_t kSize = 32u << 20;
  auto theirs = std::make_unique<std::string>(pattern(1, kSize));
  std::string mine(kSize, '\0');
  auto remote = std::move(*b.worker().register_memory(bytes(*theirs)));
  const auto local = std::move(*a.worker().register_memory(bytes(mine)));
  const std::string key(base::as_string_view(remote->remote_key()));
  for (int round = 0; round < 8; ++round) {
    Done read;
    Done write;
    to_b->read({0, kSize / 2, view(key)}, {*local, 0, kSize / 2}, read);
    to_b->write({*local, kSize / 2, kSize / 2}, {kSize / 2, kSize / 2, view(key)}, write);
    for (int i = 0; i < round; ++i) {
      a.progress();
      b.progress();
    }
    remote.reset();
    theirs.reset();  // Freed: a sanitizer sees who still touches it.
    ASSERT_TRUE(world.until([&] { return read.ended() && write.ended(); }));
    for (const Done* done : {&read, &write}) {  // The later rounds may have been quick enough.
      EXPECT_TRUE(done->ok() || done->error().code == base::Code::kNotFound);
    }
    theirs = std::make_unique<std::string>(pattern(2, kSize));
    remote = std::move(*b.worker().register_memory(bytes(*theirs)));
    Done again;
    to_b->read({0, kSize, remote->remote_key()}, {*local, 0, kSize}, again);
    ASSERT_TRUE(world.until([&] { return again.ended(); }));
    ASSERT_TRUE(again.ok()) << again.error().what;
    EXPECT_TRUE(mine == *theirs);
  }
}

TEST(Session, SmallMessagesDoNotWaitForLargeTransfers) {
  World world(kTcp);
  Party& a = world.add("left");
  Party& b = world.add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world.join(a, b);
  constexpr std::size_t kSize = 128u << 20;
  std::string theirs(kSize, 't');
  std::string mine(kSize, 'm');
  const auto remote = std::move(*b.worker().register_memory(bytes(theirs)));
  const auto local = std::move(*a.worker().register_memory(bytes(mine)));
  Done read;
  to_b->read({0, kSize, remote->remote_key()}, {*local, 0, kSize}, read);
  ASSERT_TRUE(world.until([&] { return mine[0] == 't'; }));
  for (std::size_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(to_a->send(1, {}, view("behind the bulk"), nullptr).ok());
    ASSERT_TRUE(world.until([&] { return a.messages.size() == i; }));
  }
  EXPECT_FALSE(read.ended()) << "four messages took as long as the whole transfer";
  ASSERT_TRUE(world.until([&] { return read.ended(); }));
  EXPECT_TRUE(read.ok());
}

TEST(Session, AFloodOfMessagesDoesNotStarveTransfers) {
  World world(kTcp);
  Party& a = world.add("left");
  Party& b = world.add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world.join(a, b);
  std::string theirs(16u << 20, 't');
  std::string mine(16u << 20, 'm');
  const auto remote = std::move(*b.worker().register_memory(bytes(theirs)));
  const auto local = std::move(*a.worker().register_memory(bytes(mine)));
  const std::string payload(8192, 'f');
  Done read;
  to_b->read({0, mine.size(), remote->remote_key()}, {*local, 0, mine.size()}, read);
  a.on_message = [](Endpoint&, std::uint16_t, ConstBytes, ConstBytes) {};
  Endpoint& flooded = *to_a;
  ASSERT_TRUE(world.until([&] {
    while (flooded.send(1, {}, view(payload), nullptr).ok()) {
    }
    return read.ended();
  }));
  EXPECT_TRUE(read.ok());
}

// A stream that takes as much as the test says and keeps it.
class Narrow final : public transport::stream::ByteStream {
 public:
  std::ptrdiff_t read(std::span<const iovec> parts) override {
    const std::size_t n = std::min(input.size(), parts[0].iov_len);
    std::memcpy(parts[0].iov_base, input.data(), n);
    input.erase(0, n);
    return static_cast<std::ptrdiff_t>(n);
  }
  std::ptrdiff_t write(std::span<const iovec> parts) override {
    const std::size_t before = output.size();
    for (const iovec& part : parts) {
      const std::size_t n = std::min(part.iov_len, room);
      output.append(static_cast<const char*>(part.iov_base), n);
      room -= n;
    }
    return static_cast<std::ptrdiff_t>(output.size() - before);
  }
  base::Error why() const override { return {}; }
  void want_writable(bool) override {}

  std::string input;
  std::string output;
  std::size_t room = 0;
};

struct Nobody final : transport::Inbox {
  void accepted(Endpoint&) override {}
  void message(Endpoint&, std::uint16_t, ConstBytes, ConstBytes) override {}
  void writable(Endpoint&) override {}
  void lost(Endpoint&, const base::Error& why) override { FAIL() << why.what; }
};

TEST(Session, AnswersDoNotBreakIntoHalfSentMessages) {
  using transport::stream::FrameHeader;
  using transport::stream::Kind;
  Nobody inbox;
  transport::stream::SessionSet sessions({}, inbox);
  auto owned = std::make_unique<Narrow>();
  Narrow& stream = *owned;
  auto& session = sessions.add(
      std::make_unique<transport::stream::Session>(sessions.shared(), std::move(owned), transport::PeerIdentity{}));
  stream.room = 100;
  ASSERT_TRUE(session.send(1, {}, view(std::string(200, 'm')), nullptr).ok());
  ASSERT_EQ(stream.output.size(), 100u);
  FrameHeader read;  // Of no region, so that the answer is short.
  read.kind = Kind::kRead;
  read.header_bytes = sizeof(transport::stream::Access);
  stream.input = std::string(base::as_string_view(base::object_bytes(read))) + std::string(read.header_bytes, '\0');
  session.on_readable();
  stream.room = 10'000;
  sessions.finish_round();
  ASSERT_EQ(stream.output.size(), 2 * sizeof(FrameHeader) + 200);
  EXPECT_EQ(stream.output.substr(sizeof(FrameHeader), 200), std::string(200, 'm'));
  const auto answer = transport::stream::decode_frame_header(view(stream.output).last(sizeof(FrameHeader)));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->kind, Kind::kReadFailed);
}

TEST(Wire, OnlyWhatASessionSendsIsAFrame) {
  using transport::stream::FrameHeader;
  using transport::stream::Kind;
  const auto valid = [](FrameHeader h) {
    return transport::stream::decode_frame_header(base::object_bytes(h)).has_value();
  };
  FrameHeader message;
  message.header_bytes = transport::kHeaderBytesMax;
  message.payload_bytes = transport::kMessageBytesMax;
  EXPECT_TRUE(valid(message));
  message.payload_bytes += 1;
  EXPECT_FALSE(valid(message));
  message.payload_bytes = ~0ull;
  EXPECT_FALSE(valid(message));
  FrameHeader chunk;
  chunk.kind = Kind::kReadChunk;
  EXPECT_FALSE(valid(chunk)) << "an empty chunk";
  chunk.payload_bytes = transport::stream::kChunkBytes + 1;
  EXPECT_FALSE(valid(chunk));
  FrameHeader unknown;
  unknown.kind = static_cast<Kind>(99);
  EXPECT_FALSE(valid(unknown));
}

}  // namespace
}  // namespace mobula::test
