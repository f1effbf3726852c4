// A job's program is brought to nodes that lack it: real clusters, whose later nodes see another file system.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

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

const std::string kMobula = MOBULA_PROGRAM;

std::string read_whole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// A shell command in a mount namespace of its own.
std::string elsewhere(const std::string& command) {
  return std::string("unshare ") + (::geteuid() == 0 ? "-m" : "-r -m") + " sh -c '" + command + "'";
}

struct Node {
  std::string name;
  std::string session;
  pid_t raylet = 0;
  fs::path programs() const { return session + "/programs"; }
  std::string log() const { return read_whole(session + "/logs/" + name + ".log"); }
};

class ShipTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto namespaces = shell(elsewhere("mount -t tmpfs none /mnt"));
    if (namespaces.code != 0) GTEST_SKIP() << "no mount namespaces here, NOT TESTED: " << namespaces.out;
    ::setenv("MOBULA_STORE_BYTES", "64M", 1);
    ::setenv("MOBULA_LOG", "info", 1);
    ::unsetenv("MOBULA_CONFIG");
    char name[] = "/tmp/mobula-ship-XXXXXX";
    only_here_ = ::mkdtemp(name);
    head_ = start("--head --cpus 1 --interface 127.0.0.1", "");
  }
  void TearDown() override {
    if (only_here_.empty()) return;
    const auto stopped = shell(kMobula + " stop");
    EXPECT_EQ(stopped.code, 0) << stopped.out;
    for (const pid_t raylet : raylets_) EXPECT_TRUE(eventually([&] { return !os::process_exists(raylet); }, 5s));
    EXPECT_THAT(leaks_.leftovers(5s), IsEmpty());
    fs::remove_all(only_here_);
  }

  Node start(const std::string& arguments, const std::string& hide) {
    std::string command = kMobula + " start --json " + arguments;
    if (!hide.empty()) command = elsewhere(hide + " && exec " + command);
    const auto started = shell(command);
    const json said = json::parse(started.out, nullptr, false);
    if (started.code != 0 || !said.is_object()) {
      ADD_FAILURE() << started.out;
      return {};
    }
    address_ = address_.empty() ? said.value("address", "") : address_;
    key_ = key_.empty() ? said.value("key_file", "") : key_;
    Node node;
    node.session = said.value("session", "");
    for (const auto& [process, pid] : said["processes"].items()) {
      if (process == "gcs") continue;
      node.name = process;
      node.raylet = pid.get<pid_t>();
      raylets_.push_back(node.raylet);
    }
    return node;
  }
  std::string hide(const std::string& directory) { return "mount -t tmpfs -o size=1m none " + directory; }
  // A node that does not see what is in `only_here_`, nor what else is hidden.
  Node join(const std::string& more = {}) {
    return start("--cpus 1 --interface 127.0.0.1 --address " + address_ + " --key-file " + key_,
                 hide(only_here_) + (more.empty() ? "" : " && " + more));
  }
  std::string copy(const std::string& program, std::size_t padding = 0) {
    const std::string path = only_here_ + "/app";
    fs::copy_file(program, path, fs::copy_options::overwrite_existing);
    if (padding != 0) std::ofstream(path, std::ios::binary | std::ios::app) << std::string(padding, '\0');
    return path;
  }
  Outcome submit(const std::string& app, const Node& node, int count = 1) {
    return shell("timeout 60 " + kMobula + " submit --address " + head_.session + " -- " + app + " " + node.name + " " +
                 std::to_string(count));
  }

  LeakCheck leaks_;
  std::string only_here_, address_, key_;
  std::vector<pid_t> raylets_;
  Node head_;
};

TEST_F(ShipTest, a_node_that_lacks_the_program_gets_it_and_keeps_it) {
  const Node node = join();
  const std::string app = copy(SHIP_APP);
  const std::string kept = node.programs() / os::file_build_id(app);
  const auto ran = submit(app, node, 20);
  EXPECT_EQ(ran.code, 0) << ran.out << node.log();
  EXPECT_THAT(ran.out, HasSubstr("ran " + kept + "\n"));
  EXPECT_EQ(read_whole(kept), read_whole(app));
  struct stat info {};
  ASSERT_EQ(::stat(node.programs().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(::stat(kept.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0500u);
  const auto when = fs::last_write_time(kept);
  EXPECT_EQ(submit(app, node).code, 0);
  EXPECT_EQ(fs::last_write_time(kept), when);  // Not fetched again.
  EXPECT_FALSE(fs::exists(head_.programs()));  // Where it is, nothing is copied.
}

TEST_F(ShipTest, a_program_that_was_removed_since_it_started_still_has_workers) {
  const std::string app = copy(SHIP_APP);
  const auto ran = submit("sh -c \"exec " + app + " \\$0\"", head_);
  EXPECT_EQ(ran.code, 0) << ran.out;
  const Node node = join();
  // The driver's file is replaced by another build before its first task runs: what runs is what the driver is.
  const auto replaced = submit("sh -c \"(sleep 0; rm -f " + app + ") & exec " + app + " \\$0\"", node);
  EXPECT_EQ(replaced.code, 0) << replaced.out << node.log();
}

TEST_F(ShipTest, the_death_of_a_holder_in_the_middle_of_a_transfer_costs_another_try) {
  const Node holder = join();
  const std::string app = copy(SHIP_APP, 64u << 20);
  ASSERT_EQ(submit(app, holder).code, 0);
  const Node late = join();
  ::kill(holder.raylet, SIGSTOP);  // It is asked first, and says nothing.
  std::thread killer([&] {
    EXPECT_TRUE(eventually([&] {
      std::error_code error;
      for (const auto& entry : fs::directory_iterator(late.programs(), error))
        if (entry.path().string().find(".part-") != std::string::npos) return true;
      return false;
    }));
    ::kill(holder.raylet, SIGKILL);
  });
  const auto ran = submit(app, late);
  killer.join();
  EXPECT_EQ(ran.code, 0) << ran.out << late.log();
  EXPECT_THAT(late.log(), HasSubstr("from node " + holder.name));
  EXPECT_EQ(read_whole(late.programs() / os::file_build_id(app)), read_whole(app));
}

TEST_F(ShipTest, bytes_that_are_not_the_drivers_are_refused_and_fetched_from_another) {
  const Node holder = join();
  const std::string app = copy(SHIP_APP, 4096);
  ASSERT_EQ(submit(app, holder).code, 0);
  const std::string kept = holder.programs() / os::file_build_id(app);
  ::chmod(kept.c_str(), 0700);
  std::fstream damaged(kept, std::ios::binary | std::ios::in | std::ios::out);
  damaged.seekp(-10, std::ios::end);
  damaged << "damage";
  damaged.close();
  const Node node = join();
  const auto ran = submit(app, node);
  EXPECT_EQ(ran.code, 0) << ran.out << node.log();
  EXPECT_THAT(node.log(), HasSubstr("from node " + holder.name + ": its bytes have another digest"));
  EXPECT_EQ(read_whole(node.programs() / os::file_build_id(app)), read_whole(app));
}

TEST_F(ShipTest, a_node_without_room_for_the_program_is_an_error_that_says_so) {
  const std::string room = only_here_ + "-room";
  fs::create_directory(room);
  Node node = start("--cpus 1 --interface 127.0.0.1 --address " + address_ + " --key-file " + key_,
                    hide(only_here_) + " && mkdir -p " + room + " && mount -t tmpfs -o size=4m,mode=0700 none " + room +
                        " && export MOBULA_TMPDIR=" + room);
  const std::string app = copy(SHIP_APP, 8u << 20);
  const auto ran = submit(app, node);
  EXPECT_EQ(ran.code, 3) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("could not be brought to this node"));
  EXPECT_THAT(ran.out, HasSubstr("room for"));
  EXPECT_THAT(ran.out, HasSubstr("No space left"));
  fs::remove_all(room);
}

TEST_F(ShipTest, a_library_that_the_node_lacks_is_an_error_in_the_loaders_words) {
  const Node node = join(hide(SHIP_LIBRARY_DIRECTORY));
  const std::string app = copy(SHIP_LIBRARY_APP);
  EXPECT_EQ(submit(app, head_).code, 0);
  const auto ran = submit(app, node);
  EXPECT_EQ(ran.code, 3) << ran.out;
  EXPECT_THAT(ran.out, HasSubstr("libship_library.so"));
  EXPECT_THAT(ran.out, HasSubstr("cannot open shared object file"));
}

}  // namespace
}  // namespace mobula::testing
