#include "slurm/file_rendezvous.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "core/os/random.h"
#include "slurm/name_hash.h"

namespace mobula::slurm {
namespace {

namespace fs = std::filesystem;

class FileRendezvousTest : public ::testing::Test {
 protected:
  FileRendezvousTest() {
    char name[] = "/tmp/mobula-file-XXXXXX";
    root_ = ::mkdtemp(name);
    directory_ = root_ + "/shared";
  }
  ~FileRendezvousTest() override { fs::remove_all(root_); }

  static Invitation invitation(const std::string& start) {
    return {.uid = ::geteuid(),
            .start = start,
            .build_id = "b",
            .cluster = "c",
            .host_key = "h",
            .gcs_unix = "unix:/x",
            .gcs_tcp = "tcp:10.0.0.1:1",
            .job = os::random_id<base::JobId>(),
            .secret = os::Secret::generate()};
  }
  static base::Time after(std::chrono::milliseconds time) { return os::now() + time; }

  std::string root_;
  std::string directory_;
};

TEST_F(FileRendezvousTest, a_leader_that_comes_first_gets_what_is_written_later_and_the_file_goes) {
  auto leader = make_file_rendezvous(directory_, "16.0");
  ASSERT_TRUE(leader) << leader.error().what;
  const Invitation sent = invitation("16.0");
  base::Result<Invitation> got = base::Error{};
  std::thread waiting([&] { got = (*leader)->fetch(after(std::chrono::seconds(20))); });
  {
    auto rank_zero = make_file_rendezvous(directory_, "16.0");
    ASSERT_TRUE(rank_zero);
    ASSERT_TRUE((*rank_zero)->publish(sent, after(std::chrono::seconds(20))));
    waiting.join();
    ASSERT_TRUE(got) << got.error().what;
    EXPECT_TRUE(got->secret.equals(sent.secret.view()));
    for (const auto& entry : fs::directory_iterator(directory_)) {
      struct stat info {};
      ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 07777, 0600u);
    }
  }
  EXPECT_TRUE(fs::is_empty(directory_));
}

TEST_F(FileRendezvousTest, what_another_start_has_left_is_not_taken) {
  auto way = make_file_rendezvous(directory_, "16.0");
  ASSERT_TRUE(way);
  ASSERT_TRUE((*way)->publish(invitation("15.0"), after(std::chrono::seconds(20))));
  const auto got = (*way)->fetch(after(std::chrono::milliseconds(30)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, base::Code::kDeadline);
}

TEST_F(FileRendezvousTest, a_directory_or_a_file_that_others_may_touch_is_refused) {
  ::mkdir(directory_.c_str(), 0755);
  ::chmod(directory_.c_str(), 0755);
  EXPECT_FALSE(make_file_rendezvous(directory_, "16.0"));
  ::chmod(directory_.c_str(), 0700);
  fs::create_symlink(directory_, root_ + "/link");
  EXPECT_FALSE(make_file_rendezvous(root_ + "/link", "16.0"));
  EXPECT_FALSE(make_file_rendezvous("relative", "16.0"));

  auto way = make_file_rendezvous(directory_, "16.0");
  ASSERT_TRUE(way);
  ASSERT_TRUE((*way)->publish(invitation("16.0"), after(std::chrono::seconds(20))));
  const std::string file = directory_ + "/start-" + name_hash_hex("16.0");
  ::chmod(file.c_str(), 0644);
  const auto open = (*way)->fetch(after(std::chrono::seconds(20)));
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, base::Code::kDenied);
  fs::rename(file, root_ + "/moved");
  fs::create_symlink(root_ + "/moved", file);
  EXPECT_FALSE((*way)->fetch(after(std::chrono::milliseconds(30))));
}

TEST_F(FileRendezvousTest, a_local_file_system_is_not_taken_for_a_shared_one) {
  EXPECT_FALSE(is_on_shared_file_system("/proc"));
  EXPECT_FALSE(is_on_shared_file_system("/no/such/directory"));
}

}  // namespace
}  // namespace mobula::slurm
