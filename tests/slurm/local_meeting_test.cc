#include "slurm/local_meeting.h"

#include <unistd.h>

#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/socket.h"
#include "slurm/framed.h"

namespace mobula::slurm {
namespace {

class LocalMeetingTest : public ::testing::Test {
 protected:
  LocalMeetingTest() {
    char name[] = "/tmp/mobula-meet-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~LocalMeetingTest() override {
    EXPECT_TRUE(std::filesystem::is_empty(directory_));
    std::filesystem::remove_all(directory_);
  }
  static base::Time after(std::chrono::milliseconds time) { return os::now() + time; }
  std::thread guest(std::uint32_t local_rank, std::string& answer) {
    return std::thread([this, local_rank, &answer] {
      const Share share{.local_rank = local_rank, .cpus = {local_rank, 7}, .gpus = "GPU-1"};
      const auto socket = LocalMeeting::attend(directory_, "16.0/n1", share, after(std::chrono::seconds(20)));
      ASSERT_TRUE(socket) << socket.error().what;
      const auto got = receive_framed(*socket, after(std::chrono::seconds(20)));
      answer = got ? *got : got.error().what;
    });
  }
  std::string directory_;
};

TEST_F(LocalMeetingTest, guests_that_come_before_the_leader_bring_their_shares_and_get_its_answer) {
  std::string first, second;
  std::thread one = guest(1, first);
  std::thread two = guest(2, second);
  auto meeting = LocalMeeting::open(directory_, "16.0/n1");
  ASSERT_TRUE(meeting) << meeting.error().what;
  const auto shares = (*meeting)->gather(3, after(std::chrono::seconds(20)));
  ASSERT_TRUE(shares) << shares.error().what;
  ASSERT_EQ(shares->size(), 2u);
  for (const auto& share : *shares) {
    EXPECT_EQ(share.cpus, (std::vector<std::uint32_t>{share.local_rank, 7}));
    EXPECT_EQ(share.gpus, "GPU-1");
  }
  (*meeting)->answer("the seat");
  one.join();
  two.join();
  EXPECT_EQ(first, "the seat");
  EXPECT_EQ(second, "the seat");
}

TEST_F(LocalMeetingTest, tasks_that_do_not_come_are_named) {
  std::string answer;
  std::thread one = guest(2, answer);
  {
    auto meeting = LocalMeeting::open(directory_, "16.0/n1");
    ASSERT_TRUE(meeting);
    // Until the one has come, however long that takes; then the other is missing.
    const auto shares = (*meeting)->gather(4, after(std::chrono::seconds(2)));
    ASSERT_FALSE(shares);
    EXPECT_NE(shares.error().what.find("1, 3"), std::string::npos) << shares.error().what;
  }
  one.join();
}

TEST_F(LocalMeetingTest, a_guest_says_that_its_leader_did_not_come) {
  const auto socket = LocalMeeting::attend(directory_, "16.0/n1", {}, after(std::chrono::milliseconds(30)));
  ASSERT_FALSE(socket);
  EXPECT_EQ(socket.error().code, base::Code::kDeadline);
}

TEST_F(LocalMeetingTest, bytes_that_are_no_share_are_an_error) {
  const std::string bytes = encode(Share{.local_rank = 1, .cpus = {0, 1}, .gpus = "0"});
  ASSERT_TRUE(decode_share(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_share(bytes.substr(0, size)));
  EXPECT_FALSE(decode_share(bytes + "x"));
  base::Buffer many;
  many.put(std::uint32_t{1});
  many.put(std::uint32_t{0xffff'ffff});
  EXPECT_FALSE(decode_share(std::string(base::as_string_view(many.view()))));
}

}  // namespace
}  // namespace mobula::slurm
