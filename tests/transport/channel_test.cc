#include "transport/channel.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/os/log.h"
#include "core/os/memory_file.h"
#include "core/os/random.h"
#include "core/os/session.h"
#include "core/os/socket.h"
#include "transport/sock/address.h"
#include "transport/sock/channel.h"

namespace mobula::transport {
namespace {

using base::Code;

ChannelOptions options(std::uint8_t secret = 1) {
  ChannelOptions out;
  out.credentials.key.fill(static_cast<std::byte>(secret));
  out.credentials.self = {os::random_id<base::WorkerId>(), 3, "tester"};
  return out;
}

struct Got {
  std::uint16_t type;
  std::uint16_t flags;
  std::uint64_t request;
  std::string payload;
  std::vector<os::Fd> fds;
};

// One end and what it was told.
struct End {
  Channel::Callbacks callbacks() {
    return {
        [this] { ready = true; },
        [this](Frame&& f) {
          got.push_back({f.type, f.flags, f.request, std::string(base::as_string_view(f.payload)), std::move(f.fds)});
        },
        [this](const base::Error& why) {
          EXPECT_FALSE(closed.has_value());
          closed = why;
        }};
  }
  std::unique_ptr<Channel> channel;
  std::vector<Got> got;
  bool ready = false;
  std::optional<base::Error> closed;
};

class ChannelTest : public ::testing::TestWithParam<const char*> {
 protected:
  ChannelTest() : directory_(std::move(*os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove))) {}

  bool tcp() const { return std::string(GetParam()) == "tcp"; }
  void listen(const ChannelOptions& with = options()) {
    auto accepted = [this](std::unique_ptr<Channel> channel, std::function<void(Channel::Callbacks)> set) {
      ends_.push_back(std::make_unique<End>());
      ends_.back()->channel = std::move(channel);
      set(ends_.back()->callbacks());
    };
    auto made = tcp() ? listen_tcp(loop_, "127.0.0.1", with, accepted)
                      : listen_unix(loop_, directory_.file("sock"), with, accepted);
    ASSERT_TRUE(made.ok()) << made.error().what;
    listener_ = std::move(*made);
  }
  void connect(End& end, const ChannelOptions& with = options()) {
    auto made = connect_channel(loop_, listener_->address(), with, end.callbacks());
    ASSERT_TRUE(made.ok()) << made.error().what;
    end.channel = std::move(*made);
  }
  bool until(const std::function<bool()>& happened, base::Duration limit = std::chrono::seconds(10)) {
    const base::Time end = os::now() + limit;
    while (!happened()) {
      if (os::now() > end) return false;
      loop_.run_once(std::chrono::milliseconds(20));
    }
    return true;
  }
  os::Fd dial() {
    auto socket = sock::connect_to(*sock::SocketAddress::parse(listener_->address()));
    EXPECT_TRUE(socket.ok()) << socket.error().what;
    return std::move(*socket);
  }
  static bool hung_up(const os::Fd& socket) {
    std::array<std::byte, 512> in;
    for (;;) {
      const auto n = os::receive_some(socket, in);
      if (!n.ok()) return n.error().code != Code::kUnavailable;
      if (*n == 0) return true;
    }
  }

  os::SessionDirectory directory_;
  os::EventLoop loop_;
  std::vector<std::unique_ptr<End>> ends_;
  std::unique_ptr<Listener> listener_;
};

TEST_P(ChannelTest, FramesSentBeforeTheHandshakeArriveAfterIt) {
  listen();
  End a;
  connect(a);
  ASSERT_TRUE(a.channel->send(7, 0, 99, base::as_bytes("early")).ok());
  EXPECT_FALSE(a.channel->is_ready());
  ASSERT_TRUE(until([&] { return !ends_.empty() && !ends_[0]->got.empty(); }));
  EXPECT_TRUE(a.ready && a.channel->is_ready());
  EXPECT_EQ(a.channel->peer().name, "tester");
  const Got& got = ends_[0]->got[0];
  EXPECT_EQ(got.type, 7);
  EXPECT_EQ(got.request, 99u);
  EXPECT_EQ(got.payload, "early");
  EXPECT_EQ(a.channel->peer_pid(), tcp() ? 0 : ::getpid());
  ASSERT_TRUE(ends_[0]->channel->send(8, kFlagReply, 99, base::as_bytes("late")).ok());
  ASSERT_TRUE(until([&] { return !a.got.empty(); }));
  EXPECT_EQ(a.got[0].flags, kFlagReply);
}

TEST_P(ChannelTest, FramesOfEverySizeArriveWholeAndInOrder) {
  listen();
  End a;
  connect(a);
  std::vector<std::size_t> sizes = {0, 1, 15, 16, 17, 4096, 16360, 16384, 16385, 100'000, 1u << 20, kFrameBytesMax, 3};
  for (std::size_t i = 0; i < 500; ++i) sizes.push_back(i);
  std::size_t sent = 0;
  ASSERT_TRUE(until([&] {
    while (sent < sizes.size() &&
           a.channel->send(1, 0, sent, base::as_bytes(std::string(sizes[sent], static_cast<char>(sent)))).ok()) {
      ++sent;
    }
    return !ends_.empty() && ends_[0]->got.size() == sizes.size();
  }));
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_EQ(ends_[0]->got[i].request, i);
    EXPECT_TRUE(ends_[0]->got[i].payload == std::string(sizes[i], static_cast<char>(i))) << sizes[i];
  }
  EXPECT_EQ(a.channel->send(1, 0, 0, {base::as_bytes("").data(), kFrameBytesMax + 1}).error().code, Code::kInvalid);
}

TEST_P(ChannelTest, DescriptorsComeWithTheirFrames) {
  listen();
  End a;
  connect(a);
  ASSERT_TRUE(until([&] { return a.ready; }));
  os::Fd file = std::move(*os::make_memory_file("test", 4096));
  const std::array<int, 2> fds{file.get(), file.get()};
  const auto sent = a.channel->send(1, 0, 1, base::as_bytes("two"), fds);
  if (tcp()) {
    EXPECT_EQ(sent.error().code, Code::kInvalid);
    return;
  }
  ASSERT_TRUE(sent.ok());
  const std::string large(300'000, 'x');
  for (std::uint64_t i = 2; i < 40; ++i) {
    const std::size_t n = i % 3;
    ASSERT_TRUE(a.channel->send(1, 0, i, base::as_bytes(i % 5 == 0 ? large : "x"), {fds.data(), n}).ok());
  }
  struct stat original {};
  ASSERT_EQ(::fstat(file.get(), &original), 0);
  file.reset();
  ASSERT_TRUE(until([&] { return !ends_.empty() && ends_[0]->got.size() == 39; }));
  ASSERT_EQ(ends_[0]->got[0].fds.size(), 2u);
  for (std::size_t i = 1; i < 39; ++i) EXPECT_EQ(ends_[0]->got[i].fds.size(), ends_[0]->got[i].request % 3);
  struct stat received {};
  ASSERT_EQ(::fstat(ends_[0]->got[0].fds[1].get(), &received), 0);
  EXPECT_EQ(received.st_ino, original.st_ino);
  EXPECT_EQ(::fcntl(ends_[0]->got[0].fds[1].get(), F_GETFD), FD_CLOEXEC);
}

TEST_P(ChannelTest, AFullQueueSaysSoAndDrains) {
  listen();
  End a;
  ChannelOptions small = options();
  small.queue_bytes_max = 1u << 20;
  connect(a, small);
  ASSERT_TRUE(until([&] { return a.ready; }));
  const std::string payload(64 << 10, 'q');
  std::size_t sent = 0;
  Result<void> result;
  while ((result = a.channel->send(1, 0, sent, base::as_bytes(payload))).ok()) {
    ASSERT_LT(++sent, 2000u);
  }
  EXPECT_EQ(result.error().code, Code::kExhausted);
  EXPECT_GT(a.channel->queued_bytes(), 0u);
  ASSERT_TRUE(until([&] { return ends_[0]->got.size() == sent; }));
  EXPECT_EQ(a.channel->queued_bytes(), 0u);
}

TEST_P(ChannelTest, AWrongSecretIsDeniedAndCounted) {
  listen();
  End a;
  connect(a, options(2));
  ASSERT_TRUE(until([&] { return a.closed.has_value(); }));
  EXPECT_EQ(a.closed->code, Code::kDenied) << a.closed->what;
  EXPECT_FALSE(a.ready);
  EXPECT_TRUE(until([&] { return listener_->refused() == 1; }));
  EXPECT_TRUE(ends_.empty());
}

TEST_P(ChannelTest, OfPeersThatEndWhileTheyConnectNobodyIsWarned) {
  const std::string log = directory_.file("log");
  os::start_log({.process = "test", .file = log});
  listen();
  dial().reset();
  EXPECT_TRUE(until([&] { return listener_->refused() == 1; }));
  End stranger;
  connect(stranger, options(2));
  EXPECT_TRUE(until([&] { return listener_->refused() == 2; }));
  os::start_log({});
  std::stringstream said;
  said << std::ifstream(log).rdbuf();
  EXPECT_EQ(said.str().find("closed the connection"), std::string::npos) << said.str();
  EXPECT_NE(said.str().find("did not prove"), std::string::npos) << said.str();
}

TEST_P(ChannelTest, ASilentPeerIsTurnedAwayAtItsDeadline) {
  ChannelOptions hasty = options();
  hasty.handshake_timeout = std::chrono::milliseconds(150);
  listen(hasty);
  const os::Fd silent = dial();
  EXPECT_TRUE(until([&] { return hung_up(silent); }, std::chrono::seconds(5)));
  EXPECT_EQ(listener_->refused(), 1u);
}

TEST_P(ChannelTest, AServerThatSaysNothingIsGivenUp) {
  auto mute = tcp() ? os::listen_tcp("127.0.0.1", 0) : os::listen_unix(directory_.file("mute"));
  ASSERT_TRUE(mute.ok());
  ChannelOptions hasty = options();
  hasty.handshake_timeout = std::chrono::milliseconds(150);
  End a;
  auto made = connect_channel(
      loop_, tcp() ? "tcp:127.0.0.1:" + std::to_string(os::local_port(*mute)) : "unix:" + directory_.file("mute"),
      hasty, a.callbacks());
  ASSERT_TRUE(made.ok()) << made.error().what;
  a.channel = std::move(*made);
  ASSERT_TRUE(until([&] { return a.closed.has_value(); }, std::chrono::seconds(5)));
  EXPECT_EQ(a.closed->code, Code::kDeadline);
}

TEST_P(ChannelTest, ManySilentPeersDoNotKeepOthersOut) {
  listen();
  std::vector<os::Fd> silent;
  for (int i = 0; i < 100; ++i) silent.push_back(dial());
  End a;
  connect(a);
  EXPECT_TRUE(until([&] { return a.ready; }, std::chrono::milliseconds(1500)));
  EXPECT_GE(listener_->refused(), 30u);
}

TEST_P(ChannelTest, AHundredPeersMayConnectAtOnce) {
  listen();
  std::vector<End> all(200);
  for (End& end : all) connect(end);
  ASSERT_TRUE(until([&] { return std::all_of(all.begin(), all.end(), [](const End& e) { return e.ready; }); }));
  ASSERT_TRUE(until([&] { return ends_.size() == all.size(); }));
  EXPECT_EQ(listener_->refused(), 0u);
}

TEST_P(ChannelTest, TheOtherEndHearsOfAnEndAndOfWhatWasSaidBefore) {
  listen();
  End a;
  connect(a);
  ASSERT_TRUE(until([&] { return a.ready && !ends_.empty(); }));
  ASSERT_TRUE(a.channel->send(1, 0, 1, base::as_bytes("last words")).ok());
  a.channel.reset();
  ASSERT_TRUE(until([&] { return ends_[0]->closed.has_value(); }));
  EXPECT_EQ(ends_[0]->closed->code, Code::kUnavailable);
  ASSERT_EQ(ends_[0]->got.size(), 1u);
  EXPECT_FALSE(a.closed) << "who destroys is not told";
  EXPECT_EQ(ends_[0]->channel->send(1, 0, 1, {}).error().code, Code::kUnavailable);
}

TEST_P(ChannelTest, ACallbackMayDestroyItsChannel) {
  listen();
  End a;
  connect(a);
  ASSERT_TRUE(until([&] { return a.ready && !ends_.empty(); }));
  End b;
  std::unique_ptr<Channel> doomed;
  auto made = connect_channel(loop_, listener_->address(), options(),
                              {[] {}, [&](Frame&&) { doomed.reset(); }, [](const base::Error&) { FAIL(); }});
  ASSERT_TRUE(made.ok());
  doomed = std::move(*made);
  ASSERT_TRUE(until([&] { return ends_.size() == 2; }));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(ends_[1]->channel->send(1, 0, 1, base::as_bytes("die")).ok());
  ASSERT_TRUE(until([&] { return doomed == nullptr && ends_[1]->closed.has_value(); }));
}

TEST_P(ChannelTest, AFrameThatBreaksTheFormatClosesTheChannel) {
  listen();
  // The handshake by hand, then rubbish.
  const os::Fd socket = dial();
  const ChannelOptions mine = options();
  Handshake::Options role;
  os::fill_random(role.nonce.data(), role.nonce.size());
  Handshake handshake(role, mine.credentials);
  ASSERT_TRUE(until([&] {
    std::array<std::byte, 512> in;
    base::Buffer out;
    const auto n = os::receive_some(socket, base::Bytes(in).first(handshake.wants()));
    if (!n.ok()) return false;
    EXPECT_TRUE(handshake.feed(base::ConstBytes(in).first(*n), out).ok());
    if (!out.empty()) static_cast<void>(os::send_some(socket, out.view()));
    return handshake.done();
  }));
  const std::string rubbish(64, '\xff');
  ASSERT_TRUE(os::send_some(socket, base::as_bytes(rubbish)).ok());
  ASSERT_TRUE(until([&] { return !ends_.empty() && ends_[0]->closed.has_value(); }));
  EXPECT_EQ(ends_[0]->closed->code, Code::kInvalid);
  EXPECT_TRUE(until([&] { return hung_up(socket); }));
}

TEST_P(ChannelTest, OutOfDescriptorsTheListenerTurnsAwayAndRecovers) {
#ifdef MOBULA_SANITIZED
  GTEST_SKIP() << "the sanitizer's own look at memory needs a descriptor";
#endif
  listen();
  End before;
  connect(before);
  ASSERT_TRUE(until([&] { return before.ready && !ends_.empty(); }));
  std::vector<os::Fd> waiting;  // Of connections made while there are still descriptors.
  for (int i = 0; i < 4; ++i) waiting.push_back(dial());
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  std::vector<os::Fd> hogs;
  rlimit tight = old;
  tight.rlim_cur = static_cast<rlim_t>(os::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)).get());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const bool turned_away = until([&] { return listener_->refused() >= 4; });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_TRUE(turned_away) << listener_->refused();
  for (const os::Fd& socket : waiting) EXPECT_TRUE(until([&] { return hung_up(socket); }));
  End after;
  connect(after);
  EXPECT_TRUE(until([&] { return after.ready; }));
  ASSERT_TRUE(before.channel->send(1, 0, 1, base::as_bytes("still")).ok());
  EXPECT_TRUE(until([&] { return !ends_[0]->got.empty(); }));
}

TEST_P(ChannelTest, AForeignUserIsTurnedAwayUnheard) {
  if (tcp()) GTEST_SKIP() << "a Unix socket knows the user";
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  const std::filesystem::path open_to_all =
      std::filesystem::temp_directory_path() / ("mobula-test-" + std::to_string(::getpid()));
  std::filesystem::create_directory(open_to_all);
  ::chmod(open_to_all.c_str(), 0777);
  const std::string path = open_to_all / "sock";
  auto made = listen_unix(loop_, path, options(), [](auto, auto) { FAIL() << "a stranger was let in"; });
  ASSERT_TRUE(made.ok()) << made.error().what;
  ::chmod(path.c_str(), 0777);
  const pid_t child = ::fork();
  if (child == 0) {  // Blocks until the server hangs up; exits 0 when it never heard a word.
    if (::setuid(65534) != 0) ::_exit(9);
    const auto socket = os::connect_unix(path);
    if (!socket.ok()) ::_exit(8);
    ::fcntl(socket->get(), F_SETFL, 0);
    char c;
    ::_exit(::read(socket->get(), &c, 1) == 1 ? 7 : 0);
  }
  int status = -1;
  EXPECT_TRUE(until([&] { return ::waitpid(child, &status, WNOHANG) == child; }));
  EXPECT_EQ(status, 0);
  EXPECT_EQ((*made)->refused(), 1u);
  made->reset();
  EXPECT_FALSE(std::filesystem::exists(path)) << "the socket is unlinked with its listener";
  std::filesystem::remove_all(open_to_all);
}

INSTANTIATE_TEST_SUITE_P(Sockets, ChannelTest, ::testing::Values("unix", "tcp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(ListenerTest, AWildcardIsNoAddressToListenOn) {
  os::EventLoop loop;
  for (const char* host : {"0.0.0.0", "::", "", "localhost"}) {
    const auto made = listen_tcp(loop, host, options(), [](auto, auto) {});
    EXPECT_FALSE(made.ok()) << host;
  }
}

TEST(ListenerTest, ASocketsFileIsForItsOwnerOnly) {
  auto directory = std::move(*os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove));
  os::EventLoop loop;
  const auto made = listen_unix(loop, directory.file("s"), options(), [](auto, auto) {});
  ASSERT_TRUE(made.ok());
  struct stat s {};
  ASSERT_EQ(::stat(directory.file("s").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace mobula::transport
