#include <poll.h>

#include <array>

#include "tests/transport/conformance.h"

namespace mobula::test {
namespace {

using base::Code;
using transport::kHeaderBytesMax;

TEST_P(Conformance, AnEndpointIsThereAtOnceAndConnectsLazily) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  EXPECT_FALSE(to_b.connected());
  ASSERT_TRUE(to_b.send(3, view("early"), view("bird"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return !b.messages.empty(); }));
  EXPECT_EQ(b.messages[0].type, 3);
  EXPECT_EQ(b.messages[0].header, "early");
  EXPECT_EQ(b.messages[0].payload, "bird");
  EXPECT_TRUE(world().until([&] { return to_b.connected(); }));
  EXPECT_EQ(to_b.peer().name, "right");
  EXPECT_EQ(to_b.peer().incarnation, 7u);
  ASSERT_EQ(b.peers.size(), 1u);
  EXPECT_EQ(b.peers[0]->peer().name, "left");
  EXPECT_EQ(b.messages[0].from, b.peers[0]);
}

TEST_P(Conformance, AnAcceptedEndpointCanBeSentToAtOnce) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  ASSERT_TRUE(to_a->send(9, {}, view("hello"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return !a.messages.empty(); }));
  EXPECT_EQ(a.messages[0].payload, "hello");
  EXPECT_EQ(a.messages[0].from, to_b);
}

TEST_P(Conformance, MessagesOfManySizesArriveWholeAndInOrder) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  std::vector<std::size_t> sizes;
  for (std::size_t n = 0; n < 130; ++n) sizes.push_back(n);
  for (std::size_t n = 128; n <= 512 * 1024; n *= 2) sizes.insert(sizes.end(), {n - 1, n, n + 1, n + n / 3});
  std::uint64_t seed = 0;
  for (const std::size_t size : sizes) {
    const std::string header = pattern(seed, size % (kHeaderBytesMax + 1));
    ASSERT_TRUE(
        to_b.send(static_cast<std::uint16_t>(seed), view(header), view(pattern(seed + 1000, size)), nullptr).ok());
    ++seed;
  }
  ASSERT_TRUE(world().until([&] { return b.messages.size() == sizes.size(); }));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(b.messages[i].type, i);
    EXPECT_TRUE(b.messages[i].header == pattern(i, sizes[i] % (kHeaderBytesMax + 1))) << "message " << i;
    EXPECT_TRUE(b.messages[i].payload == pattern(i + 1000, sizes[i])) << "message " << i << " of " << sizes[i];
  }
}

TEST_P(Conformance, PayloadsWithACompletionArriveAtEverySize) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  for (std::size_t size = 1; size <= backend().traits.large_bytes; size *= 8) {
    const std::string payload = pattern(size, size);
    Done done;
    ASSERT_TRUE(to_b.send(1, view("h"), view(payload), &done).ok());
    EXPECT_FALSE(done.ended());
    ASSERT_TRUE(world().until([&] { return done.ended() && !b.messages.empty(); })) << size << " bytes";
    ASSERT_TRUE(done.ok()) << done.error().what;
    EXPECT_EQ(done.bytes(), size);
    EXPECT_TRUE(b.messages[0].payload == payload) << size << " bytes";
    b.messages.clear();
  }
}

TEST_P(Conformance, EagerAndRendezvousMessagesKeepTheirOrder) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  constexpr std::size_t kRounds = 24;
  std::vector<std::string> payloads;
  std::array<Done, kRounds> done;
  for (std::size_t i = 0; i < kRounds; ++i) payloads.push_back(pattern(i, i % 3 == 0 ? 300'000 + i : 17 * i));
  for (std::size_t i = 0; i < kRounds; ++i) {
    ASSERT_TRUE(to_b.send(static_cast<std::uint16_t>(i), {}, view(payloads[i]), i % 2 == 0 ? &done[i] : nullptr).ok());
  }
  ASSERT_TRUE(world().until([&] { return b.messages.size() == kRounds; }));
  for (std::size_t i = 0; i < kRounds; ++i) {
    EXPECT_EQ(b.messages[i].type, i);
    EXPECT_TRUE(b.messages[i].payload == payloads[i]) << i;
  }
  for (std::size_t i = 0; i < kRounds; i += 2) EXPECT_TRUE(world().until([&] { return done[i].ok(); })) << i;
}

TEST_P(Conformance, HeadersAndPayloadsHaveLimits) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  const std::string header(kHeaderBytesMax + 1, 'h');
  EXPECT_EQ(to_b.send(1, view(header), {}, nullptr).error().code, Code::kInvalid);
  const ConstBytes too_long{view(header).data(), transport::kMessageBytesMax + 1};  // Refused unread.
  EXPECT_EQ(to_b.send(1, {}, too_long, nullptr).error().code, Code::kInvalid);
  ASSERT_TRUE(to_b.send(2, view(header).first(kHeaderBytesMax), {}, nullptr).ok());
  ASSERT_TRUE(world().until([&] { return !b.messages.empty(); }));
  EXPECT_EQ(b.messages[0].type, 2);
  EXPECT_EQ(b.messages[0].header.size(), kHeaderBytesMax);
}

TEST_P(Conformance, AFullQueuePushesBackAndTellsWhenThereIsRoom) {
  transport::WorkerOptions options = world().options("left");
  options.queue_bytes_max = 1u << 20;
  Party& a = world().add(options);
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  const std::string payload = pattern(1, 16 << 10);
  std::size_t sent = 0;
  const auto fill = [&] {
    for (;;) {
      const auto result = to_b->send(static_cast<std::uint16_t>(sent), {}, view(payload), nullptr);
      if (!result.ok()) {
        EXPECT_EQ(result.error().code, Code::kExhausted) << result.error().what;
        return false;
      }
      if (++sent * payload.size() > backend().traits.backlog_bytes_max) return true;
    }
  };
  bool endless = false;
  // The link takes some in its own buffers; b does not move.
  EXPECT_FALSE(world().until_by(
      {&a}, [&] { return (endless = fill()); }, std::chrono::milliseconds(100)));
  ASSERT_FALSE(endless) << "nothing bounds the queue";
  EXPECT_EQ(a.writables[to_b], 0);
  ASSERT_TRUE(world().until([&] { return a.writables[to_b] > 0 && b.messages.size() == sent; }))
      << b.messages.size() << " of " << sent;
  for (std::size_t i = 0; i < sent; ++i) EXPECT_EQ(b.messages[i].type, static_cast<std::uint16_t>(i));
  EXPECT_TRUE(b.messages.back().payload == payload);
  EXPECT_TRUE(to_b->send(1, {}, view(payload), nullptr).ok());
}

TEST_P(Conformance, BothSidesMaySendAtOnce) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  constexpr std::size_t kMessages = 3000;
  const std::string large = pattern(5, 3 << 20);
  std::array<Done, 2> done;
  ASSERT_TRUE(to_b->send(1, {}, view(large), &done[0]).ok());
  ASSERT_TRUE(to_a->send(1, {}, view(large), &done[1]).ok());
  std::size_t sent_a = 0;
  std::size_t sent_b = 0;
  const auto pump = [](Endpoint& to, std::size_t& sent) {
    while (sent < kMessages && to.send(2, base::object_bytes(sent), view(pattern(sent, sent)), nullptr).ok()) ++sent;
  };
  ASSERT_TRUE(world().until([&] {
    pump(*to_b, sent_a);
    pump(*to_a, sent_b);
    return a.messages.size() == kMessages + 1 && b.messages.size() == kMessages + 1;
  }));
  for (Party* party : {&a, &b}) {
    EXPECT_TRUE(party->messages[0].payload == large);
    for (std::size_t i = 0; i < kMessages; ++i) {
      ASSERT_TRUE(party->messages[i + 1].payload == pattern(i, i)) << i;
    }
  }
  EXPECT_TRUE(world().until([&] { return done[0].ok() && done[1].ok(); }));
}

TEST_P(Conformance, CallbacksMaySendAndClose) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  int echoed = 0;
  b.on_message = [&](Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) {
    ++echoed;
    ASSERT_TRUE(from.send(type, header, payload, nullptr).ok());
    if (type == 5) from.close();
  };
  Endpoint& to_b = a.connect(b);
  for (std::uint16_t type = 0; type < 6; ++type) ASSERT_TRUE(to_b.send(type, {}, view("again"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return a.lost_peers.contains(&to_b); }));
  EXPECT_EQ(echoed, 6);
  EXPECT_TRUE(b.lost_peers.empty()) << "who closes is not told";
}

TEST_P(Conformance, AnArmedWorkerSleepsUntilSomethingComes) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  ASSERT_TRUE(world().until([&] { return b.worker().arm(); }));
  // A wake-up that finds nothing is allowed once; a stream of them is not.
  const auto asleep = [&] {
    pollfd ready{b.worker().event_fd(), POLLIN, 0};
    if (::poll(&ready, 1, 0) == 0) return true;
    b.progress();
    return false;
  };
  ASSERT_TRUE(world().until([&] { return b.worker().arm() && asleep(); }));
  ASSERT_TRUE(to_b->send(1, {}, view("wake up"), nullptr).ok());
  ASSERT_TRUE(world().until_by({&a}, [&] {
    pollfd ready{b.worker().event_fd(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }));
  EXPECT_TRUE(b.messages.empty());
  ASSERT_TRUE(world().until_by({&b}, [&] { return !b.messages.empty(); }));
  EXPECT_EQ(b.messages[0].payload, "wake up");
}

TEST_P(Conformance, AWorkerThatHasSomethingToTellDoesNotArm) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint* to_b = nullptr;
  Endpoint* to_a = nullptr;
  std::tie(to_b, to_a) = world().join(a, b);
  Done done;
  ASSERT_TRUE(to_b->send(1, {}, view("x"), &done).ok());
  if (!done.ended()) {
    const bool armed = a.worker().arm();
    EXPECT_TRUE(!armed || world().until([&] { return done.ended(); }));
  }
  ASSERT_TRUE(world().until([&] { return done.ended(); }));
}

TEST_P(Conformance, OneWorkerServesManyPeers) {
  Party& hub = world().add("hub");
  hub.on_message = [](Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) {
    ASSERT_TRUE(from.send(type, header, payload, nullptr).ok());
  };
  std::vector<Party*> spokes;
  std::vector<Endpoint*> to_hub;
  for (int i = 0; i < backend().traits.many_peers; ++i) {
    spokes.push_back(&world().add("spoke " + std::to_string(i)));
    to_hub.push_back(&spokes.back()->connect(hub));
  }
  for (std::size_t round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < spokes.size(); ++i) {
      ASSERT_TRUE(to_hub[i]->send(1, {}, view(pattern(i + 100 * round, 100 * round)), nullptr).ok());
    }
  }
  ASSERT_TRUE(world().until([&] {
    return std::all_of(spokes.begin(), spokes.end(), [](const Party* p) { return p->messages.size() == 10; });
  }));
  for (std::size_t i = 0; i < spokes.size(); ++i) {
    for (std::size_t round = 0; round < 10; ++round) {
      EXPECT_TRUE(spokes[i]->messages[round].payload == pattern(i + 100 * round, 100 * round));
    }
  }
}

TEST_P(Conformance, TwoConnectionsBetweenTwoWorkersAreTwoEndpoints) {
  Party& a = world().add("left");
  Party& b = world().add("right");
  Endpoint& to_b = a.connect(b);
  Endpoint& to_a = b.connect(a);
  ASSERT_TRUE(to_b.send(1, {}, view("from left"), nullptr).ok());
  ASSERT_TRUE(to_a.send(1, {}, view("from right"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return a.messages.size() == 1 && b.messages.size() == 1; }));
  EXPECT_EQ(a.messages[0].payload, "from right");
  EXPECT_EQ(b.messages[0].payload, "from left");
  to_a.close();
  ASSERT_TRUE(to_b.send(1, {}, view("still here"), nullptr).ok());
  ASSERT_TRUE(world().until([&] { return b.messages.size() == 2; }));
}

}  // namespace
}  // namespace mobula::test
