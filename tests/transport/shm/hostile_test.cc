// What a broken or malicious peer, which holds the secret, can do to a worker: lose its own connection.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "tests/transport/shm/fixture.h"
#include "transport/channel.h"
#include "transport/shm/doorbell.h"
#include "transport/shm/link.h"
#include "transport/shm/wire.h"

namespace mobula::transport::shm::test {
namespace {

// A connector that follows the protocol only as far as a test wants.
class Intruder {
 public:
  explicit Intruder(const Node& target) : bell_(*Doorbell::create()) {
    const std::string address = target.worker->address();
    const std::size_t mark = address.rfind('?');
    cookie_ = std::stoull(address.substr(mark + 1), nullptr, 16);
    ChannelOptions options;
    options.credentials = options_named("intruder").credentials;
    Channel::Callbacks callbacks;
    callbacks.frame = [this](Frame&& frame) {
      welcomed |= frame.type == static_cast<std::uint16_t>(FrameType::kWelcome);
    };
    callbacks.closed = [this](const base::Error&) { closed = true; };
    channel_ = *connect_channel(loop_, address.substr(0, mark), options, callbacks);
  }

  void hello(const Hello& hello, int file) { hello_with(hello, file, bell_.memory().get(), bell_.event().get()); }
  void hello_with(const Hello& hello, int file, int page, int event) {
    const int fds[] = {file, page, event};
    ASSERT_TRUE(
        channel_->send(static_cast<std::uint16_t>(FrameType::kHello), 0, 0, base::object_bytes(hello), fds).ok());
  }
  void sound_hello() {
    const os::Fd file = *os::make_memory_file("intruder", link_file_bytes(kRing));
    link = *Link::open(LinkEnd::kConnector, file, kRing);
    hello({cookie_, kRing, {}}, file.get());
  }
  void run() { loop_.run_once(base::Duration::zero()); }
  std::uint64_t cookie() const { return cookie_; }
  const Doorbell& bell() const { return bell_; }

  static constexpr std::size_t kRing = 16384;
  Link link;
  bool welcomed = false;
  bool closed = false;

 private:
  os::EventLoop loop_;
  Doorbell bell_;
  std::uint64_t cookie_ = 0;
  std::unique_ptr<Channel> channel_;
};

class Hostile : public ::testing::Test {
 protected:
  Hostile() {
    endpoint_ = friend_.connect(target_);
    EXPECT_TRUE(open_up(friend_, target_, endpoint_));
  }

  bool run(Intruder& intruder, const std::function<bool()>& condition) {
    return run_until({&target_}, [&] {
      intruder.run();
      return condition();
    });
  }
  // The other peer does not notice.
  void expect_service() {
    const std::uint64_t before = target_.received;
    ASSERT_TRUE(endpoint_->send(1, {}, base::as_bytes("still there?"), nullptr).ok());
    EXPECT_TRUE(run_until({&friend_, &target_}, [&] { return target_.received > before; }));
    EXPECT_TRUE(friend_.lost_peers.empty());
  }
  void expect_refused_hello(const Hello& hello, int file) {
    Intruder intruder(target_);
    intruder.hello(hello, file);
    EXPECT_TRUE(run(intruder, [&] { return intruder.closed; }));
    EXPECT_EQ(target_.peers.size(), 1u);
    expect_service();
  }
  // Sends one record and expects to be thrown out for it.
  void expect_thrown_out(const Tag& tag, ConstBytes body) {
    Intruder intruder(target_);
    intruder.sound_hello();
    ASSERT_TRUE(run(intruder, [&] { return intruder.welcomed; }));
    std::byte* at = intruder.link.out().reserve(body.size());
    if (!body.empty()) std::memcpy(at, body.data(), body.size());
    intruder.link.out().publish(pack(tag), body.size());
    expect_loss(intruder);
  }
  void expect_loss(Intruder& intruder) {
    const std::size_t before = target_.losses;
    ASSERT_TRUE(run(intruder, [&] { return target_.losses > before; }));
    EXPECT_EQ(target_.lost_peers.at(target_.peers.back()).code, base::Code::kInvalid);
    expect_service();
  }

  Node target_{"target"};
  Node friend_{"friend"};
  Endpoint* endpoint_ = nullptr;
};

template <class... Words>
std::vector<std::uint64_t> words(Words... w) {
  return {static_cast<std::uint64_t>(w)...};
}
ConstBytes view(const std::vector<std::uint64_t>& w) {
  return {reinterpret_cast<const std::byte*>(w.data()), w.size() * sizeof(std::uint64_t)};
}

TEST_F(Hostile, AHelloForAnotherWorkerIsRefused) {
  const os::Fd file = *os::make_memory_file("hostile", link_file_bytes(Intruder::kRing));
  expect_refused_hello({Intruder(target_).cookie() + 1, Intruder::kRing, {}}, file.get());
}

TEST_F(Hostile, AFileSmallerThanItsRingsIsRefused) {
  const os::Fd file = *os::make_memory_file("hostile", 4096);
  expect_refused_hello({Intruder(target_).cookie(), Intruder::kRing, {}}, file.get());
}

TEST_F(Hostile, AFileThatCanShrinkIsRefused) {
  const os::Fd file(::memfd_create("hostile", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 1 << 20), 0);
  expect_refused_hello({Intruder(target_).cookie(), Intruder::kRing, {}}, file.get());
}

TEST_F(Hostile, ADoorbellThatCanShrinkIsRefused) {
  const os::Fd file = *os::make_memory_file("hostile", link_file_bytes(Intruder::kRing));
  const os::Fd page(::memfd_create("hostile", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(page.get(), 4096), 0);
  Intruder intruder(target_);
  intruder.hello_with({intruder.cookie(), Intruder::kRing, {}}, file.get(), page.get(), intruder.bell().event().get());
  EXPECT_TRUE(run(intruder, [&] { return intruder.closed; }));
  expect_service();
}

TEST_F(Hostile, APipeForAnEventIsRefused) {
  const os::Fd file = *os::make_memory_file("hostile", link_file_bytes(Intruder::kRing));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const os::Fd read_end(pipe[0]), write_end(pipe[1]);
  Intruder intruder(target_);
  intruder.hello_with({intruder.cookie(), Intruder::kRing, {}}, file.get(), intruder.bell().memory().get(),
                      write_end.get());
  EXPECT_TRUE(run(intruder, [&] { return intruder.closed; }));
  expect_service();
}

TEST_F(Hostile, APeerThatAsksAndDoesNotReadTheAnswersIsThrownOut) {
  Intruder intruder(target_);
  intruder.sound_hello();
  ASSERT_TRUE(run(intruder, [&] { return intruder.welcomed; }));
  const std::size_t before = target_.losses;
  const Access access{9, 1, 12345, 0, 4096};  // No such region: each is refused at once.
  EXPECT_TRUE(run(intruder, [&] {
    for (std::byte* at; target_.losses == before && (at = intruder.link.out().reserve(sizeof access)) != nullptr;) {
      std::memcpy(at, &access, sizeof access);
      intruder.link.out().publish(pack({Kind::kGet, 0, 0}), sizeof access);
    }
    return target_.losses > before;
  }));
  expect_service();
}

TEST_F(Hostile, ARingOfAnOddOrHugeSizeIsRefused) {
  const os::Fd file = *os::make_memory_file("hostile", 1 << 20);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{5000}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    expect_refused_hello({Intruder(target_).cookie(), bytes, {}}, file.get());
  }
}

TEST_F(Hostile, RecordsOfUnknownKindsAreRefused) {
  expect_thrown_out({static_cast<Kind>(0), 1, 0}, view(words(1)));
  expect_thrown_out({static_cast<Kind>(40), 0, 0}, view(words(1)));
}

TEST_F(Hostile, AHeaderLongerThanItsRecordIsRefused) { expect_thrown_out({Kind::kMessage, 0, 100}, view(words(1))); }

TEST_F(Hostile, AHeaderBeyondTheLimitIsRefused) {
  expect_thrown_out({Kind::kMessage, 0, 1023}, view(std::vector<std::uint64_t>(200)));
}

TEST_F(Hostile, FragmentsWithoutABeginningAreRefused) { expect_thrown_out({Kind::kNext, 0, 0}, view(words(1))); }

TEST_F(Hostile, FragmentsOfMoreThanWasAnnouncedAreRefused) {
  expect_thrown_out({Kind::kFirst, 0, 0}, view(words(8, 1, 2)));
}

TEST_F(Hostile, AnAnnouncementBeyondTheMessageLimitIsRefused) {
  expect_thrown_out({Kind::kFirst, 0, 0}, view(words(std::uint64_t{1} << 50, 1)));
}

TEST_F(Hostile, ARendezvousBeyondTheMessageLimitIsRefused) {
  expect_thrown_out({Kind::kRendezvous, 0, 0}, view(words(1, 4096, std::uint64_t{1} << 50)));
}

TEST_F(Hostile, ARendezvousOfMemoryThatIsNotThereIsRefused) {
  expect_thrown_out({Kind::kRendezvous, 0, 0}, view(words(1, 16, 1 << 20)));
}

TEST_F(Hostile, AnEndOfAnOperationThatNeverWasIsRefused) {
  expect_thrown_out({Kind::kFinished, 0, 0}, view(words(77)));
}

TEST_F(Hostile, RequestsOfTheWrongLengthAreRefused) {
  expect_thrown_out({Kind::kGet, 0, 0}, view(words(1, 2)));
  expect_thrown_out({Kind::kPut, 0, 0}, view(words(1)));
  expect_thrown_out({Kind::kGetPart, 0, 0}, {});
  expect_thrown_out({Kind::kFailed, 0, 0}, view(words(1)));
}

TEST_F(Hostile, ALengthBeyondTheRingIsRefused) {
  Intruder intruder(target_);
  intruder.sound_hello();
  ASSERT_TRUE(run(intruder, [&] { return intruder.welcomed; }));
  std::byte* at = intruder.link.out().reserve(8);
  const std::uint64_t head = std::uint64_t{pack({Kind::kMessage, 0, 0})} << 32 | 0x7fff'ffffu;
  std::memcpy(at - kHeadBytes, &head, sizeof head);
  expect_loss(intruder);
}

TEST_F(Hostile, AGetOfAKeyThatWasNotGivenIsAnsweredWithoutBytes) {
  std::vector<std::byte> memory(4096, std::byte{1});
  auto region = *target_.worker->register_memory(memory);
  Intruder intruder(target_);
  intruder.sound_hello();
  ASSERT_TRUE(run(intruder, [&] { return intruder.welcomed; }));
  const Access access{9, 1, 12345, 0, 4096};
  std::memcpy(intruder.link.out().reserve(sizeof access), &access, sizeof access);
  intruder.link.out().publish(pack({Kind::kGet, 0, 0}), sizeof access);
  ASSERT_TRUE(run(intruder, [&] { return intruder.link.in().has_record(); }));
  const auto record = intruder.link.in().front();
  Outcome outcome{};
  ASSERT_EQ(record.body.size(), sizeof outcome);
  std::memcpy(&outcome, record.body.data(), sizeof outcome);
  EXPECT_EQ(unpack(record.tag).kind, Kind::kFailed);
  EXPECT_EQ(outcome.code, static_cast<std::uint64_t>(base::Code::kDenied));
}

TEST_F(Hostile, AConsumerThatLiesAboutItsPositionIsLost) {
  Intruder intruder(target_);
  intruder.sound_hello();
  ASSERT_TRUE(run(intruder, [&] { return intruder.welcomed; }));
  intruder.link.in().control().consumed = std::uint64_t{1} << 60;
  const std::string payload(4000, 'x');
  for (int i = 0; i < 20; ++i) static_cast<void>(target_.peers.back()->send(1, {}, base::as_bytes(payload), nullptr));
  expect_loss(intruder);
}

}  // namespace
}  // namespace mobula::transport::shm::test
