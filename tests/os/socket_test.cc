#include "core/os/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "core/os/memory_file.h"
#include "tests/os/temporary_directory.h"

namespace mobula::os {
namespace {

using base::Code;

constexpr int kDeadlineMs = 10'000;

bool wait_until(const Fd& fd, short events) {
  pollfd wait{fd.get(), events, 0};
  return ::poll(&wait, 1, kDeadlineMs) == 1;
}

void expect_talk(const Fd& from, const Fd& to) {
  const auto sent = send_some(from, base::as_bytes("ping"));
  ASSERT_TRUE(sent);
  EXPECT_EQ(*sent, 4u);
  ASSERT_TRUE(wait_until(to, POLLIN));
  std::array<std::byte, 16> into{};
  const auto got = receive_some(to, into);
  ASSERT_TRUE(got);
  EXPECT_EQ(base::as_string_view(base::ConstBytes(into).first(*got)), "ping");
}

TEST(UnixSocket, ConnectsAndKnowsItsPeer) {
  const TemporaryDirectory directory;
  const auto listener = listen_unix(directory.file("socket"));
  ASSERT_TRUE(listener);
  const auto client = connect_unix(directory.file("socket"));
  ASSERT_TRUE(client);
  const auto server = accept(*listener);
  ASSERT_TRUE(server);
  expect_talk(*client, *server);
  const auto peer = peer_credentials(*server);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(peer->pid, ::getpid());
}

TEST(UnixSocket, IsOpenToNobodyElse) {
  const TemporaryDirectory directory;
  const auto listener = listen_unix(directory.file("socket"));
  ASSERT_TRUE(listener);
  struct stat info {};
  ASSERT_EQ(::stat(directory.file("socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 077, 0u);
}

TEST(UnixSocket, WorksUnderAPathThatIsTooLongForItsAddress) {
  const TemporaryDirectory directory;
  const std::string deep = directory.file(std::string(100, 'd'));
  std::filesystem::create_directory(deep);
  const auto listener = listen_unix(deep + "/socket");
  ASSERT_TRUE(listener) << listener.error().what;
  const auto client = connect_unix(deep + "/socket");
  ASSERT_TRUE(client) << client.error().what;
  EXPECT_TRUE(accept(*listener));
}

TEST(UnixSocket, SaysWhenNobodyListens) {
  const TemporaryDirectory directory;
  EXPECT_EQ(connect_unix(directory.file("none")).error().code, Code::kNotFound);
  { const auto listener = listen_unix(directory.file("socket")); }
  EXPECT_EQ(connect_unix(directory.file("socket")).error().code, Code::kUnavailable);
}

TEST(UnixSocket, CarriesDescriptorsThatAreClosedOnExec) {
  auto pair = socket_pair();
  ASSERT_TRUE(pair);
  auto file = make_memory_file("test", page_size());
  ASSERT_TRUE(file);
  const std::array<int, 2> fds{file->get(), file->get()};
  ASSERT_TRUE(send_some(pair->first, base::as_bytes("x"), fds));
  std::array<std::byte, 1> into{};
  std::vector<Fd> got;
  ASSERT_TRUE(receive_some(pair->second, into, &got));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(map_file(got[1], 0, page_size(), Access::kReadOnly));
  EXPECT_NE(::fcntl(got[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(UnixSocket, DropsDescriptorsThatNobodyAskedFor) {
  auto pair = socket_pair();
  ASSERT_TRUE(pair);
  const auto open_fds = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const int fd = pair->first.get();
  ASSERT_TRUE(send_some(pair->first, base::as_bytes("x"), std::span(&fd, 1)));
  const auto before = open_fds();
  std::array<std::byte, 1> into{};
  ASSERT_TRUE(receive_some(pair->second, into));
  EXPECT_EQ(open_fds(), before);
}

TEST(Sockets, SayWhenTheyWouldBlockAndWhenThePeerIsGone) {
  auto pair = socket_pair();
  ASSERT_TRUE(pair);
  std::array<std::byte, 4096> bytes{};
  EXPECT_EQ(receive_some(pair->first, bytes).error().code, Code::kUnavailable);
  base::Result<std::size_t> sent = std::size_t{0};
  for (int i = 0; i < 10'000 && sent; ++i) sent = send_some(pair->first, bytes);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kUnavailable);
  pair->second.reset();
  EXPECT_EQ(send_some(pair->first, bytes).error().code, Code::kLost);
  const auto end = receive_some(pair->first, bytes);
  EXPECT_TRUE(!end || *end == 0);  // Reset, since the peer left data unread.
}

TEST(TcpSocket, ConnectsOnAPortThatTheSystemChose) {
  const auto listener = listen_tcp("127.0.0.1", 0);
  ASSERT_TRUE(listener) << listener.error().what;
  const auto port = local_port(*listener);
  ASSERT_NE(port, 0);
  const auto client = connect_tcp("127.0.0.1", port);
  ASSERT_TRUE(client);
  ASSERT_TRUE(wait_until(*client, POLLOUT));
  ASSERT_TRUE(connect_result(*client));
  ASSERT_TRUE(wait_until(*listener, POLLIN));
  const auto server = accept(*listener);
  ASSERT_TRUE(server);
  expect_talk(*server, *client);
  EXPECT_EQ(accept(*listener).error().code, Code::kUnavailable);
}

TEST(TcpSocket, TellsWhatBecameOfAConnectThatFailed) {
  std::uint16_t port = 0;
  {
    const auto listener = listen_tcp("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port = local_port(*listener);
  }
  const auto client = connect_tcp("127.0.0.1", port);
  if (client) {
    ASSERT_TRUE(wait_until(*client, POLLOUT));
    EXPECT_EQ(connect_result(*client).error().code, Code::kUnavailable);
  } else {
    EXPECT_EQ(client.error().code, Code::kUnavailable);
  }
}

TEST(TcpSocket, NeverListensOnAWildcard) {
  for (const char* address : {"0.0.0.0", "::", "localhost", ""}) {
    const auto listener = listen_tcp(address, 0);
    ASSERT_FALSE(listener) << address;
    EXPECT_EQ(listener.error().code, Code::kInvalid);
  }
}

}  // namespace
}  // namespace mobula::os
