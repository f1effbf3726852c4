#include "transport/handshake.h"

#include <cstring>

#include <gtest/gtest.h>

#include "core/os/random.h"

namespace mobula::transport {
namespace {

using base::Buffer;
using base::Code;

Credentials credentials(std::uint8_t secret, const std::string& name) {
  Credentials out;
  out.key.fill(static_cast<std::byte>(secret));
  out.self = {os::random_id<base::WorkerId>(), 42, name};
  return out;
}

Handshake::Options options(Handshake::Role role, VersionRange versions = kWireVersions) {
  Handshake::Options out{role, {}, versions};
  os::fill_random(out.nonce.data(), out.nonce.size());
  return out;
}

// Two ends and what passes between them; `change` may edit each message on its way.
struct Meeting {
  Meeting(const Credentials& left, const Credentials& right, VersionRange l = kWireVersions,
          VersionRange r = kWireVersions)
      : client(options(Handshake::Role::kClient, l), left), server(options(Handshake::Role::kServer, r), right) {}

  using Change = std::function<void(int message, std::string& bytes)>;
  void run(const Change& change = [](int, std::string&) {}) {
    Buffer first;
    server.start(first);
    std::string bytes(base::as_string_view(first.view()));
    for (int message = 0; !bytes.empty(); ++message) {
      passed.push_back(bytes);
      change(message, bytes);
      Buffer answer;
      const bool to_client = message % 2 == 0;
      const Result<void> fed = (to_client ? client : server).feed(base::as_bytes(bytes), answer);
      if (!fed.ok()) (to_client ? client_error : server_error) = fed.error();
      bytes = base::as_string_view(answer.view());
    }
  }
  bool both() const { return client.done() && server.done(); }

  Handshake client;
  Handshake server;
  std::vector<std::string> passed;
  std::optional<base::Error> client_error;
  std::optional<base::Error> server_error;
};

TEST(Handshake, BothSidesLearnWhoTheOtherIsAndShareKeys) {
  const Credentials left = credentials(1, "worker");
  const Credentials right = credentials(1, "raylet");
  Meeting m(left, right);
  m.run();
  ASSERT_TRUE(m.both());
  EXPECT_EQ(m.client.peer().name, "raylet");
  EXPECT_EQ(m.client.peer().id, right.self.id);
  EXPECT_EQ(m.server.peer().name, "worker");
  EXPECT_EQ(m.server.peer().incarnation, 42u);
  EXPECT_EQ(m.client.keys().send, m.server.keys().receive);
  EXPECT_EQ(m.client.keys().receive, m.server.keys().send);
  EXPECT_NE(m.client.keys().send, m.client.keys().receive);
  EXPECT_EQ(m.client.version(), kWireVersions.newest);
}

TEST(Handshake, EachConnectionHasKeysOfItsOwn) {
  const Credentials one = credentials(1, "x");
  Meeting first(one, one);
  Meeting second(one, one);
  first.run();
  second.run();
  EXPECT_NE(first.client.keys().send, second.client.keys().send);
}

TEST(Handshake, NoMessageIsLongerThanThePeerMayMakeUsRead) {
  const Credentials one = credentials(1, std::string(500, 'n'));
  Meeting m(one, one);
  std::size_t total = 0;
  m.run([&](int, std::string& bytes) { total += bytes.size(); });
  ASSERT_TRUE(m.both());
  EXPECT_LE(total, kHandshakeBytesMax);
  EXPECT_EQ(m.client.peer().name, std::string(kNameBytesMax, 'n'));
}

TEST(Handshake, AnotherSecretIsDeniedOnBothSides) {
  const Credentials left = credentials(1, "x");
  const Credentials right = credentials(2, "y");
  Meeting m(left, right);
  m.run();
  EXPECT_FALSE(m.client.done() || m.server.done());
  ASSERT_TRUE(m.client_error && m.server_error);
  EXPECT_EQ(m.client_error->code, Code::kDenied);
  EXPECT_EQ(m.server_error->code, Code::kDenied);
}

TEST(Handshake, EveryBitOfEveryMessageIsCovered) {
  const Credentials one = credentials(1, "name");
  for (int target = 0; target < 3; ++target) {
    std::size_t bits = 1;
    for (std::size_t bit = 0; bit < bits; ++bit) {
      Meeting m(one, one);
      m.run([&](int message, std::string& bytes) {
        if (message != target) return;
        bits = bytes.size() * 8;
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      });
      EXPECT_FALSE(m.both()) << "bit " << bit << " of message " << target;
      EXPECT_FALSE(target < 2 && m.server.done()) << "bit " << bit << " of message " << target;
    }
  }
}

TEST(Handshake, AMessageOfAnotherConnectionProvesNothing) {
  const Credentials one = credentials(1, "x");
  Meeting before(one, one);
  before.run();
  Meeting m(one, one);
  m.run([&](int message, std::string& bytes) {
    if (message == 1) bytes = before.passed[1];
  });
  EXPECT_FALSE(m.server.done());
  Meeting n(one, one);
  n.run([&](int message, std::string& bytes) {
    if (message == 2) bytes = before.passed[2];
  });
  EXPECT_FALSE(n.client.done());
}

TEST(Handshake, AClientsProofIsNoServersProof) {
  const Credentials one = credentials(1, "x");
  Meeting m(one, one);
  m.run([&](int message, std::string& bytes) {
    if (message == 2) bytes = m.passed[1];
  });
  EXPECT_FALSE(m.client.done());
}

TEST(Handshake, TheNewestCommonVersionIsTaken) {
  const Credentials one = credentials(1, "x");
  Meeting m(one, one, {2, 5}, {3, 9});
  m.run();
  ASSERT_TRUE(m.both());
  EXPECT_EQ(m.client.version(), 5);
  EXPECT_EQ(m.server.version(), 5);
}

TEST(Handshake, WithoutACommonVersionBothErrorsNameBoth) {
  const Credentials one = credentials(1, "x");
  Meeting m(one, one, {7, 7}, {3, 5});
  m.run();
  ASSERT_TRUE(m.client_error && m.server_error);
  for (const base::Error& e : {*m.client_error, *m.server_error}) {
    EXPECT_EQ(e.code, Code::kInvalid);
    EXPECT_NE(e.what.find("7"), std::string::npos) << e.what;
    EXPECT_NE(e.what.find("3 to 5"), std::string::npos) << e.what;
  }
}

TEST(Handshake, BytesMayComeOneByOne) {
  const Credentials one = credentials(1, "x");
  Handshake client(options(Handshake::Role::kClient), one);
  Handshake server(options(Handshake::Role::kServer), one);
  Buffer wire;
  server.start(wire);
  for (int message = 0; message < 3; ++message) {
    Buffer answer;
    Handshake& to = message % 2 == 0 ? client : server;
    for (const std::byte b : wire.view()) {
      ASSERT_GT(to.wants(), 0u);
      ASSERT_TRUE(to.feed({&b, 1}, answer).ok());
    }
    wire = std::move(answer);
  }
  EXPECT_TRUE(client.done() && server.done());
  EXPECT_EQ(client.wants(), 0u);
}

}  // namespace
}  // namespace mobula::transport
