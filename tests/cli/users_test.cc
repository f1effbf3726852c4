// Clusters of two users of one machine.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/os/process.h"
#include "tests/support/leak_check.h"
#include "tests/support/shell.h"

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Users, clusters_of_two_users_live_side_by_side_and_cannot_touch_each_other) {
  const passwd* nobody = ::getpwnam("nobody");
  if (::geteuid() != 0 || nobody == nullptr || shell("command -v setpriv").code != 0)
    GTEST_SKIP() << "needs root, the user nobody and setpriv: NOT TESTED";
  LeakCheck leaks;
  ::setenv("MOBULA_STORE_BYTES", "64M", 1);
  ::unsetenv("MOBULA_CONFIG");
  // Where the other user can read the program and has a place of its own.
  char name[] = "/tmp/mobula-users-XXXXXX";
  const std::string shared = ::mkdtemp(name);
  ::chmod(shared.c_str(), 0755);
  fs::copy_file(MOBULA_PROGRAM, shared + "/mobula");
  fs::copy_file(MOBULA_TEST_APP, shared + "/app");
  const std::string theirs = shared + "/theirs";
  fs::create_directory(theirs);
  ::chmod(theirs.c_str(), 0700);
  ASSERT_EQ(::chown(theirs.c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  const auto ours = [&](const std::string& command) {
    return shell("cd / && timeout 60 " + shared + "/mobula " + command);
  };
  const auto as_nobody = [&](const std::string& command, const std::string& environment = "") {
    return shell("cd / && timeout 60 setpriv --reuid=nobody --regid=" + std::to_string(nobody->pw_gid) +
                 " --clear-groups env HOME=/nonexistent MOBULA_TMPDIR=" + theirs + " " + environment + " " + shared +
                 "/mobula " + command);
  };
  const auto started = ours("start --head --cpus 1 --json");
  const auto started_there = as_nobody("start --head --cpus 1 --json");
  const json here = json::parse(started.out, nullptr, false);
  const json there = json::parse(started_there.out, nullptr, false);
  ASSERT_TRUE(here.is_object()) << started.out;
  ASSERT_TRUE(there.is_object()) << started_there.out;
  const std::string cluster = here.value("cluster", "");
  const std::string session = here.value("session", "");
  const std::string cluster_there = there.value("cluster", "");

  // Each sees its own and no other, and runs programs on it.
  EXPECT_EQ(json::parse(ours("status --json").out)["cluster"], cluster);
  EXPECT_EQ(json::parse(as_nobody("status --json").out)["cluster"], cluster_there);
  EXPECT_EQ(ours("submit -- " + shared + "/app 5").code, 5);
  EXPECT_EQ(as_nobody("submit -- " + shared + "/app 6").code, 6);

  // By its name, its directory, its socket, its key: nothing of the other's can be had.
  EXPECT_EQ(as_nobody("stop " + cluster).code, 1);
  EXPECT_EQ(as_nobody("stop " + session).code, 1);
  EXPECT_EQ(as_nobody("status --address " + session).code, 1);
  EXPECT_EQ(as_nobody("logs", "MOBULA_TMPDIR=" + leaks.directory()).code, 1);
  EXPECT_NE(as_nobody("start --address " + session + " --key-file " + session + "/key").code, 0);
  const std::string through = "MOBULA_RAYLET=" + here.value("raylet", "") + " MOBULA_SESSION=" + session +
                              " MOBULA_KEY_FILE=" + theirs + "/" + cluster_there + "/key";
  EXPECT_NE(as_nobody("run -- " + shared + "/app 0", through).code, 0);
  // Not even for root, which may read all files: sockets answer their own user alone.
  const auto root_there = ours("status --address " + cluster_there);
  EXPECT_EQ(root_there.code, 1) << root_there.out;
  EXPECT_EQ(shell("MOBULA_TMPDIR=" + theirs + " timeout 60 " + shared + "/mobula status").code, 1);

  // The end of one is not the end of the other.
  EXPECT_EQ(as_nobody("stop").code, 0);
  EXPECT_EQ(json::parse(ours("status --json").out)["nodes_alive"], 1);
  EXPECT_EQ(ours("stop").code, 0);
  for (const auto& [process, number] : there["processes"].items()) {
    const auto pid = number.get<pid_t>();  // Whoever reaps orphans here may take a moment.
    EXPECT_TRUE(eventually([pid] { return !os::process_exists(pid); }, std::chrono::seconds(5)));
  }
  EXPECT_TRUE(fs::is_empty(theirs));
  EXPECT_THAT(leaks.leftovers(5s), IsEmpty());
  fs::remove_all(shared);
}

}  // namespace
}  // namespace mobula::testing
